// What must hold in every engine, in WebKit.
import { run } from "./everywhere.mjs";

run("webkit");
