// What must hold in every engine, in Chromium.
import { run } from "./everywhere.mjs";

run("chromium");
