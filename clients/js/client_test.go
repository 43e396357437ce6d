// Package client_test runs the JavaScript client: its parts, what npm would
// publish, and the whole of it against a relay.
package client_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"
)

// maxCoreBytes is a promise to the pages that load the client: of what the first
// import brings, compressed. What only some need comes when they do.
const maxCoreBytes = 8 << 10

func TestCore_Bundled_StaysSmall(t *testing.T) {
	args := []string{"tool", "esbuild", "src/index.js", "--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=error"}
	for _, later := range []string{"attachments", "challenge", "deliver", "more", "read"} {
		args = append(args, "--external:./"+later+".js")
	}
	core, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	size := testtools.Compressed(t, core)
	t.Logf("core %d bytes gzip", size)
	if size > maxCoreBytes {
		t.Errorf("got %d bytes compressed, want at most %d", size, maxCoreBytes)
	}
}

// TestTypes_StrictConsumers_Compile compiles what uses the client, in TypeScript
// at its strictest.
func TestTypes_StrictConsumers_Compile(t *testing.T) {
	testtools.Need(t, "node", "node_modules/typescript", "node_modules/@assistant-ui/react")
	declare(t)
	projects, err := filepath.Glob("test/types/tsconfig.*.json")
	if err != nil || len(projects) == 0 {
		t.Fatalf("got %d consumers, error %v", len(projects), err)
	}
	for _, project := range projects {
		t.Run(filepath.Base(project), func(t *testing.T) {
			t.Parallel()
			testtools.Run(t, "node", "node_modules/typescript/bin/tsc", "-p", project)
		})
	}
}

var declared = sync.OnceValues(func() ([]byte, error) {
	return exec.CommandContext(context.Background(), "node", "node_modules/typescript/bin/tsc", "-p", ".").CombinedOutput()
})

// declare writes the declarations of the client's types, which those of its elements
// are beside, once for all tests.
func declare(t *testing.T) {
	t.Helper()
	if out, err := declared(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
}

// TestElements_Components_Compile compiles a component with <relay-chat> in each
// framework that has types for it.
func TestElements_Components_Compile(t *testing.T) {
	testtools.Need(t, "node", "node_modules/typescript", "node_modules/vue-tsc", "node_modules/svelte-check")
	declare(t)
	for framework, check := range map[string][]string{
		"react":  {"node_modules/typescript/bin/tsc", "-p", "test/types/elements/tsconfig.react.json"},
		"vue":    {"node_modules/vue-tsc/bin/vue-tsc.js", "-p", "test/types/elements/tsconfig.vue.json"},
		"svelte": {"node_modules/svelte-check/bin/svelte-check", "--workspace", "test/types/elements", "--tsconfig", "./tsconfig.svelte.json"},
	} {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			testtools.Run(t, "node", check...)
		})
	}
}

func TestClient_RealRelay_Works(t *testing.T) {
	if testing.Short() {
		t.Skip("starts relays and a browser")
	}
	testtools.Need(t, testtools.Chromium(), "node", "npm", "node_modules/@ai-sdk/react", "node_modules/@assistant-ui/react", "node_modules/publint", "node_modules/@arethetypeswrong/cli", "../../web/node_modules/playwright-core")
	relay := filepath.Join(t.TempDir(), "relay")
	testtools.Run(t, "go", "build", "-o", relay, "../../cmd/relay")
	t.Setenv("RELAY_BINARY", relay)
	testtools.NodeTests(t, "--test-concurrency=4", "test/") // each waits for an agent most of the time
}
