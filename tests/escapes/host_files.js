// Reads what a host keeps to itself, by path, by link and by way of its own process.
// expect: exited 0
const fs = require('fs');
for (const path of ['/etc/shadow', '/etc/passwd', '/etc/hostname', '/proc/1/root/etc/passwd', '/proc/self/maps',
                    '/proc/self/root/etc/passwd', '/proc/self/fd/0', '/proc/meminfo', '/sys/kernel/notes', '/dev/mem']) {
    try {
        if (fs.readFileSync(path).length) console.log('ESCAPED: read', path);
    } catch (error) {}
}
for (const path of ['/root', '/home', '/var', '/etc/ssh', '/usr/bin', '/usr/share', '/sys', '/run', '/opt']) {
    try {
        // The way to the runtime's own tree is there; nothing beside it is.
        if (fs.readdirSync(path).length > 1) console.log('ESCAPED: listed', path, fs.readdirSync(path));
    } catch (error) {}
}
for (const name of Object.keys(process.env)) {
    if (/ASSAY|SSH|TOKEN|KEY|CARGO/.test(name)) console.log('ESCAPED: was told', name);
}
