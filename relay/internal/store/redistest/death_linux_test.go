package redistest_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// A test run that is killed runs no cleanup.
func TestServer_TestRunKilled_Ends(t *testing.T) {
	t.Parallel()
	if os.Getenv("REDISTEST_HOLD") != "" {
		server := redistest.Start(t)
		_, _ = os.Stdout.WriteString("addr " + server.Addr + "\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until this process is killed
		return
	}
	redistest.Start(t) // skips if there is no server
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=10m")
	self.Env = append(os.Environ(), "REDISTEST_HOLD=1", "TMPDIR="+t.TempDir())
	in, err := self.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := self.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = self.Start(); err != nil {
		t.Fatal(err)
	}
	var addr string
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "addr "); ok {
			addr = rest
		}
	}
	_ = self.Process.Kill()
	_ = self.Wait()
	if addr == "" {
		t.Fatal("got no address, want that of the server")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-tick.C {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatalf("got a server at %s, want it ended with who started it", addr)
		}
	}
}
