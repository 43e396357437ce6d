// Behavior required in every engine, in Firefox.
import { run } from "./everywhere.mjs";

run("firefox");
