import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const GATEWAY = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    // The tokens use light-dark(); these are the first browsers that have it.
    target: ["chrome123", "firefox120", "safari17.5"],
    // ECharts' core is one piece; it is loaded after the page stands.
    chunkSizeWarningLimit: 700,
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/v1": GATEWAY, "/docs": GATEWAY, "/openapi.json": GATEWAY },
  },
  // Without a process for each file: the tests are of pure functions, and to start Node.js took most of the time.
  test: { include: ["src/**/*.test.ts"], environment: "node", isolate: false },
});
