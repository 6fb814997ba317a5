// Writes wherever it can but in the directory that is there for it, fills that, and exchanges the runtime.
// expect: exited 0 | memory_limit
const fs = require('fs');
for (const base of ['/', '/box', '/dev', '/dev/fd', '/usr', '/usr/lib', '/usr/bin', '/etc', '/proc', '/proc/self', '/var', '/run']) {
    for (const attempt of [p => fs.writeFileSync(p, 'x'), p => fs.mkdirSync(p), p => fs.symlinkSync('/etc/shadow', p),
                           p => fs.linkSync('/box/main.js', p), p => fs.renameSync('/box/main.js', p)]) {
        try {
            attempt(base + '/planted');
            console.log('ESCAPED: wrote below', base);
        } catch (error) {}
    }
}
for (const path of [process.execPath, '/box/main.js', '/lib64/ld-linux-x86-64.so.2']) {
    for (const attempt of [p => fs.appendFileSync(p, 'x'), p => fs.truncateSync(p, 0), p => fs.chmodSync(p, 0o777),
                           p => fs.unlinkSync(p)]) {
        try {
            attempt(path);
            console.log('ESCAPED: changed', path);
        } catch (error) {}
    }
}
let written = 0;
try {
    for (let i = 0; i < 64; i++) written += fs.writeFileSync('/tmp/' + i, Buffer.alloc(1 << 20, 1)) === undefined ? 1 : 0;
} catch (error) {}
if (written > 20) console.log('ESCAPED: filled', written, 'MiB');
