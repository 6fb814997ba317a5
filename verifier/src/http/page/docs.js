"use strict";
// Shows `openapi.json`, and asks for nothing else. All of it is set as text.
let whole = {};

function make(parent, name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) { made.setAttribute(key, value); }
  if (text !== undefined) { made.textContent = text; }
  parent.append(made);
  return made;
}

// What stands between backquotes is code.
function prose(parent, name, attributes, text) {
  const made = make(parent, name, attributes);
  text.split("`").forEach((part, at) => {
    if (at % 2) { make(made, "code", {}, part); } else { made.append(part); }
  });
  return made;
}

function followed(value) {
  if (!value || !value.$ref) { return value; }
  return value.$ref.slice(2).split("/").reduce((at, key) => at[key], whole);
}

function show(document_) {
  whole = document_;
  document.getElementById("kind").textContent = `${whole.info.title} ${whole.info.version}`;
  document.getElementById("about").textContent = whole.info.description;
  const parent = document.getElementById("operations");
  const places = document.getElementById("tags");
  for (const tag of whole.tags) {
    const id = `of-${tag.name}`;
    make(places, "a", { href: `#${id}` }, tag.name);
    const section = make(parent, "section", { id });
    make(section, "h2", {}, tag.name);
    prose(section, "p", { class: "note" }, tag.description);
    for (const [path, methods] of Object.entries(whole.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) { showOperation(section, path, method, operation); }
      }
    }
  }
  openNamed();
}

function showOperation(parent, path, method, operation) {
  const part = make(parent, "details", { class: "sample", id: operation.operationId });
  const summary = make(part, "summary");
  make(summary, "span", { class: "tag" }, method.toUpperCase());
  make(summary, "code", {}, path);
  prose(summary, "span", { class: "what" }, operation.summary);
  // What is never opened costs nothing.
  part.addEventListener("toggle", () => { if (part.open && part.children.length === 1) { fill(part, path, method, operation); } });
}

function fill(part, path, method, operation) {
  const parameters = operation.parameters.map(followed);
  if (parameters.length) {
    make(part, "h3", {}, "Parameters");
    const list = make(part, "ul", { class: "fields" });
    for (const one of parameters) {
      const entry = make(list, "li");
      make(entry, "code", {}, one.name);
      make(entry, "small", {}, ` ${one.in}${one.required ? ", required" : ""} `);
      prose(entry, "span", {}, one.description || "");
    }
  }
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (body) {
    make(part, "h3", {}, "Body");
    showSchema(part, body.schema);
    if (body.example) {
      make(part, "h3", {}, "Example");
      make(part, "pre", {}, curl(path, body.example));
    }
  }
  for (const [status, named] of Object.entries(operation.responses)) {
    const reply = followed(named);
    make(part, "h3", {}, status === "default" ? "Errors" : `Reply, ${status}`);
    const kinds = Object.entries(reply.content || {});
    if (kinds.length === 0) { make(part, "p", { class: "note" }, "Empty."); }
    for (const [kind, content] of kinds) {
      make(part, "p", { class: "note" }, kind);
      if (content.schema) { showSchema(part, content.schema); }
    }
  }
}

function curl(path, example) {
  const text = JSON.stringify(example, null, 2).replaceAll("'", "'\\''");
  return `curl -s ${new URL(`.${path}`, location.href).href} -H 'Content-Type: application/json' -d '${text}'`;
}

// The choices of a schema that is one of several, without null.
function choices(schema) {
  return (schema.oneOf || schema.anyOf || []).map(followed).filter((one) => one.type !== "null");
}

function typeName(schema) {
  schema = followed(schema);
  if (schema === true || !schema) { return "any"; }
  if (schema.const !== undefined) { return JSON.stringify(schema.const); }
  if (schema.enum) { return schema.enum.map((one) => JSON.stringify(one)).join(" or "); }
  const nullable = (schema.oneOf || schema.anyOf || []).some((one) => one.type === "null") ? " or null" : "";
  const several = choices(schema);
  if (several.length) {
    const names = [...new Set(several.map((one) => one.properties ? "object" : typeName(one)))];
    return names.join(" or ") + nullable;
  }
  const types = [].concat(schema.type || "any");
  return types.map((type) => type === "array" ? `list of ${schema.items ? typeName(schema.items) : "any"}` : type).join(" or ");
}

function showSchema(parent, schema, depth = 0) {
  schema = followed(schema);
  if (!schema || schema === true) { return; }
  if (depth === 0 && !schema.properties) { make(parent, "p", { class: "note" }, typeName(schema)); }
  if (schema.description && depth === 0) { prose(parent, "p", {}, schema.description); }
  if (depth > 12) { return; }
  if (schema.properties) { showFields(parent, schema, depth); }
  for (const item of [schema.items, schema.additionalProperties]) {
    if (item && typeof item === "object") { showSchema(parent, item, depth + 1); }
  }
  const several = choices(schema);
  if (several.length === 1) { showSchema(parent, several[0], depth + 1); return; }
  const list = several.some((one) => one.description || one.properties) ? make(parent, "ul", { class: "fields" }) : null;
  for (const one of list ? several : []) {
    const entry = make(list, "li");
    if (one.properties) {
      prose(entry, "span", {}, one.description || "Or this:");
      showFields(entry, one, depth + 1);
    } else {
      make(entry, "code", {}, typeName(one));
      prose(entry, "span", {}, ` ${one.description || ""}`);
    }
  }
}

function showFields(parent, schema, depth) {
  const list = make(parent, "ul", { class: "fields" });
  for (const [name, field] of Object.entries(schema.properties)) {
    const entry = make(list, "li");
    const required = (schema.required || []).includes(name);
    make(entry, "code", {}, name);
    make(entry, "small", {}, ` ${typeName(field)}${required ? ", required" : ""}${byDefault(field)} `);
    prose(entry, "span", {}, field.description || (followed(field) || {}).description || "");
    showSchema(entry, field, depth + 1);
  }
}

function byDefault(field) {
  return field.default === undefined || field.default === null ? "" : `, default ${JSON.stringify(field.default)}`;
}

// A link to an operation opens it.
function openNamed() {
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named) { named.open = true; named.scrollIntoView(); }
}

addEventListener("hashchange", openNamed);
fetch("openapi.json")
  .then((reply) => { if (!reply.ok) { throw new Error(`the service answered ${reply.status}`); } return reply.json(); })
  .then(show)
  .catch((error) => {
    const failed = document.getElementById("failed");
    failed.hidden = false;
    failed.textContent = `openapi.json could not be read: ${error.message}; load the page again.`;
  });
