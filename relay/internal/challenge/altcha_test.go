package challenge

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// altcha makes ALTCHA's own library solve one of our challenges, verify its solution and
// issue a challenge of its own, which our solver solves.
const altcha = `
import { createChallenge, solveChallenge, verifySolution } from "./node_modules/altcha-lib/dist/esm/v1/index.js";
import { solve } from "./src/challenge.js";
const [given, key] = JSON.parse(process.argv[1]);
const { promise } = solveChallenge(given.challenge, given.salt, given.algorithm, given.maxnumber);
const { number, took } = await promise;
const { algorithm, challenge, salt, signature } = given;
const payload = btoa(JSON.stringify({ algorithm, challenge, number, salt, signature, took }));
const own = await createChallenge({ hmacKey: key, maxnumber: 20_000, expires: new Date(Date.now() + 600_000) });
const ours = await solve(given);
console.log(JSON.stringify({
  payload,
  ours,
  verified: await verifySolution(payload, key),
  oursVerified: await verifySolution(ours, key),
  foreignVerified: await verifySolution(payload, key + "x"),
  ownSolved: await verifySolution(await solve(own), key),
  members: [Object.keys(own).sort().join(), Object.keys(given).sort().join()],
}));
`

func TestWireFormat_AltchaLib_BothDirections(t *testing.T) {
	const client = "../../../clients/js"
	testtools.Need(t, "node", client+"/node_modules/altcha-lib")
	b := newBench("a", memory.New())
	given := b.Give("v")
	args, err := json.Marshal([]any{given, b.key + "v"})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", altcha, string(args))
	cmd.Dir = client
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Payload, Ours                                      string
		Verified, OursVerified, ForeignVerified, OwnSolved bool
		Members                                            []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !got.Verified || !got.OursVerified || got.ForeignVerified {
		t.Errorf("altcha-lib verifies its solution: %t, our solver's: %t, with another key: %t; want yes, yes, no", got.Verified, got.OursVerified, got.ForeignVerified)
	}
	if !got.OwnSolved {
		t.Error("altcha-lib does not verify our solver's solution of its own challenge")
	}
	if got.Members[0] != got.Members[1] {
		t.Errorf("members of a challenge: got %s, want %s", got.Members[1], got.Members[0])
	}
	if _, err := b.Check(t.Context(), "v", got.Ours, "k1"); err != nil {
		t.Errorf("our solver's solution: got %v (%s), want it passed", err, b.last())
	}
	b.pass(t, got.Payload, "k1")
}
