import { fileURLToPath } from "node:url";
import vue from "@vitejs/plugin-vue";

export default {
  plugins: [vue()],
  base: "./",
  // The client comes from this repository. A page that installs it from npm needs no alias.
  resolve: { alias: { "@anyframe-relay/client": fileURLToPath(new URL("../../clients/js/src/index.js", import.meta.url)) } },
  server: { fs: { allow: ["../.."] } },
};
