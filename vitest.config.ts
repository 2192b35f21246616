// The rings of tests as vitest projects: `unit` needs nothing, `lab` needs root and network namespaces.
import { defineConfig } from 'vitest/config';

/**
 * In the virtual machine of ring 3. V8's background threads fail a check of V8's own there now and then ("it->second.Size() >
 * offset", seen in one process of ten that compile much), so every Node there does without them.
 */
const emulated = process.env['VM'] === '1';

export default defineConfig({
  test: {
    // What decides is pure, and every branch of it is tried. The rest is judged by what it does, not by a number.
    coverage: {
      include: ['src/model/**', 'src/router/plan/**', 'src/router/netlink/**'],
      exclude: ['src/router/netlink/{raw,socket,subscription}.ts', 'src/model/zone.ts'],
      reporter: ['text-summary'],
      thresholds: { 100: true },
    },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/lab/**', 'test/kernel/**', 'test/image/**', 'test/browser/**'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          globalSetup: ['test/support/lab/global.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          // Emulation of a whole machine stalls for seconds when the host is busy; who fails three times in a row fails.
          retry: emulated ? 2 : 0,
          execArgv: emulated ? ['--single-threaded'] : [],
          sequence: { concurrent: false },
        },
      },
    ],
  },
});
