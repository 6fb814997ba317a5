// Starts itself again and again until something stops it.
// expect: process_limit | cpu_time_limit | memory_limit | exited 1
const { spawn } = require('child_process');
for (;;) {
    const child = spawn(process.execPath, [__filename]);
    child.on('error', () => process.exit(1));
    if (child.pid === undefined) process.exitCode = 1;
    if (process.exitCode === 1) break;
}
