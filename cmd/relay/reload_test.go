//go:build !windows

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// An invalid file changes nothing and a valid one takes effect, however the reload is requested.
func TestReload_SignalAndCommand_ReadTheFileAgain(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	file := siteFile(t, "sites:\n  a: {title: First}\n")
	p := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "RELAY_CONFIG="+file, "RELAY_ADMIN_ADDR=127.0.0.1:0")...)
	title := func(site, want string) func() bool {
		return func() bool {
			r := ask(t, "GET", p.url+"/s/"+site+"/", "", "")
			return r.code == 200 && strings.Contains(r.body, want)
		}
	}
	until(t, "the first title", title("a", "First"))
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sites:\n  a: {titel: Wrong}\n  b:\n")
	p.signal(syscall.SIGHUP)
	until(t, "the wrong file in the log", func() bool { return strings.Contains(p.output(), file+`:2:7: unknown key \"titel\"`) })
	if !title("a", "First")() {
		t.Error("a wrong file has changed a title")
	}
	admin := p.admin()
	code, _, errs := execute(t, []string{"RELAY_ADMIN_ADDR=127.0.0.1:1"}, "reload", "--admin", admin)
	if code != exitError || !strings.Contains(errs, file+`:2:7: unknown key "titel"`) || !strings.Contains(errs, "^") {
		t.Errorf("relay reload of a wrong file: got %d %s, want 1 and the place", code, errs)
	}
	write("sites:\n  a: {title: Second}\n  b:\n")
	p.signal(syscall.SIGHUP)
	until(t, "the second title", title("a", "Second"))
	until(t, "the new site", title("b", ""))
	write("sites:\n  a: {title: Third}\n")
	if code, out, errs := execute(t, nil, "reload", "--admin", admin); code != exitOK || !strings.Contains(out, "reloaded") {
		t.Errorf("relay reload: got %d %s %s, want 0", code, out, errs)
	}
	if !title("a", "Third")() {
		t.Error("relay reload was answered, and the title is the old one")
	}
	if r := ask(t, "GET", p.url+"/s/b/", "", ""); r.code != 404 {
		t.Errorf("a site that is gone: got %d, want 404", r.code)
	}
}
