// Talks to a host, to its neighbour by an abstract name, and to a debugger that would listen.
// expect: exited 0 | exited 12
const net = require('net');
for (const target of [{ host: '127.0.0.1', port: 22 }, { path: '\0assay' }, { path: '/tmp/socket' }]) {
    const socket = net.connect(target, () => console.log('ESCAPED: connected to', target));
    socket.on('error', () => {});
}
const server = net.createServer(() => {});
server.on('error', () => {});
server.listen({ path: '\0assay' }, () => { console.log('ESCAPED: listens'); process.exit(0); });
try {
    require('inspector').open(0, '127.0.0.1');
    if (require('inspector').url()) console.log('ESCAPED: a debugger listens');
} catch (error) {}
setTimeout(() => process.exit(0), 100);
