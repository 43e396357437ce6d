// Command newcomer follows README.md literally, like a new user: in a fresh clone,
// with a fresh home, block by block. It fails if a step does. For a command that
// serves until a signal, it requests the page and then sends the signal.
//
// With arguments, it runs only the sections with these headings.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "newcomer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sections []string) error {
	dir, err := os.MkdirTemp("", "newcomer-")
	if err != nil {
		return err
	}
	defer func() { // module caches are read-only
		_ = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.IsDir() {
				_ = os.Chmod(path, 0o700) //nolint:gosec // to be removed
			}
			return nil
		})
		_ = os.RemoveAll(dir)
	}()
	clone, home := filepath.Join(dir, "relay"), filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "git", "clone", "-q", ".", clone).CombinedOutput(); err != nil {
		return fmt.Errorf("git clone: %w\n%s", err, out)
	}
	readme, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		return err
	}
	blocks := commands(string(readme))
	if len(sections) > 0 {
		blocks = slices.DeleteFunc(blocks, func(b block) bool { return !slices.Contains(sections, b.section) })
	}
	if len(blocks) == 0 {
		return errors.New("README.md has no commands")
	}
	// README assumes an account at AnyFrame; this replaces it.
	plane := anyframetest.New(anyframetest.WithAgent(7, nil), anyframetest.WithKey("afm_test_newcomer"))
	if err := plane.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	defer plane.Close()
	visitor := newcomer{clone, environment(ctx, home, plane.URL()), plane.Key()}
	for _, b := range blocks {
		fmt.Printf("== %s\n%s", b.section, b.text)
		if err := visitor.follow(ctx, b); err != nil {
			return fmt.Errorf("%s:\n%s%w", b.section, b.text, err)
		}
	}
	fmt.Println("== all of it works")
	return nil
}

// environment is the environment of a new machine. Only the network settings are
// those of this machine.
func environment(ctx context.Context, home, plane string) []string {
	env := []string{"HOME=" + home, "ANYFRAME_BASE_URL=" + plane}
	for _, name := range []string{
		"PATH", "TERM", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "npm_config_registry",
	} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GOSUMDB", "GONOPROXY", "GOTOOLCHAIN"} {
		out, err := exec.CommandContext(ctx, "go", "env", name).Output()
		if value := strings.TrimSpace(string(out)); err == nil && value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// block is a code block of README.
type block struct{ section, text string }

// commands returns the shell blocks of a Markdown text.
func commands(text string) []block {
	var blocks []block
	section, inside, shell := "", false, false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside; inside {
				if shell = strings.TrimSpace(line) == "```sh"; shell {
					blocks = append(blocks, block{section: section})
				}
			} else {
				shell = false
			}
		case shell:
			blocks[len(blocks)-1].text += line
		case !inside && strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return blocks
}

// serves matches a command that runs until it gets a signal.
var serves = regexp.MustCompile(`(?m)^go run \./cmd/relay( demo)?$|^make (demo|run)$`)

type newcomer struct {
	clone string
	env   []string
	key   string
}

// follow runs a block, with the key in place of afm_….
func (n newcomer) follow(ctx context.Context, b block) error {
	text := strings.ReplaceAll(b.text, "afm_…", n.key)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", text)
	cmd.Dir, cmd.Env = n.clone, n.env
	ownGroup(cmd)
	if !serves.MatchString(text) {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	for _, taken := range []struct{ addr, setting string }{{":8080", "RELAY_ADDR"}, {"127.0.0.1:9091", "RELAY_ADMIN_ADDR"}} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", taken.addr)
		if err != nil {
			fmt.Printf("   (%s is taken here, so %s is another)\n", taken.addr, taken.setting)
			cmd.Env = append(cmd.Env, taken.setting+"=127.0.0.1:0")
			continue
		}
		_ = l.Close()
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		_ = cmd.Wait() // go run has its own exit code; the program's own output counts
	}()
	if err := n.visit(ctx, &out, done); err != nil {
		_ = interrupt(cmd)
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	if err := interrupt(cmd); err != nil {
		return err
	}
	select {
	case <-done:
	case <-time.After(patience):
		return fmt.Errorf("it does not end\n%s", out.String())
	}
	if !strings.Contains(out.String(), `"shut down"`) {
		return fmt.Errorf("it ended badly\n%s", out.String())
	}
	return nil
}

// patience is how long a program may take to start, including downloads.
const patience = 30 * time.Minute

var listening = regexp.MustCompile(`msg"?[:=]"?listening"?.*?addr"?[:=]"?([^\s",]+)`)

// visit waits until the relay listens and requests its page.
func (n newcomer) visit(ctx context.Context, out *output, done <-chan struct{}) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	limit := time.After(patience)
	for {
		if m := listening.FindStringSubmatch(out.String()); m != nil {
			_, port, err := net.SplitHostPort(m[1])
			if err != nil {
				return err
			}
			return page(ctx, "http://localhost:"+port+"/")
		}
		select {
		case <-done:
			return errors.New("it ended by itself")
		case <-limit:
			return errors.New("it does not listen")
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

func page(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	html, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(html, []byte("<relay-chat")) {
		return fmt.Errorf("%s: got %s and no chat", url, res.Status)
	}
	fmt.Printf("   %s has the chat\n", url)
	return nil
}

// output is a program's output, for two readers.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
