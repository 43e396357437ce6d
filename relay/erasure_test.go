package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// eraseSoon repeats an erasure soon, so that it completes quickly.
func eraseSoon(c *relay.Config) { c.Tune(relay.Tuning{EraseAgain: 50 * time.Millisecond}) }

// runs runs the relay's background work until the test or the relay ends.
func (r *harness) runs() (end func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	srv := r.srv
	all.Go(func() { srv.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); all.Wait() })
	r.t.Cleanup(end)
	return end
}

// erases sends a request that erases, and returns the erasure's id.
func (b *browser) erases(path string) string {
	b.r.t.Helper()
	a := b.do("DELETE", path, "")
	id, _ := a.json["erasure"].(string)
	if a.status != http.StatusAccepted || id == "" {
		b.r.t.Fatalf("DELETE %s: got %d %s, want 202 and an erasure", path, a.status, a.body)
	}
	return id
}

// erased waits until nothing is left to erase.
func (r *harness) erased() {
	r.t.Helper()
	eventually(r.t, "nothing is pending", func() bool { return r.metric("relay_erasures_pending") == 0 })
}

func TestErase_OneConversation_GoneEverywhere(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) {
		disk(c)
		eraseSoon(c)
	}, anyframetest.WithAgent(1, talk))
	r.runs()
	v := r.visitor()
	v.talked(3)
	ids := r.upstreams()
	v.erases("/v1/conversations/1")
	refused(t, "its transcript", v.do("GET", "/v1/transcript?epoch=1", ""), 404, "not_found")
	r.erased()
	if all := v.conversations(); len(all) != 2 || all[1].Epoch != 2 {
		t.Errorf("got %+v, want the other two", all)
	}
	if _, there := r.plane.Session(ids[0]); there || len(r.plane.Sessions()) != 2 {
		t.Errorf("got %d sessions at AnyFrame, want the other two", len(r.plane.Sessions()))
	}
	for _, path := range []string{"1", "9", "0", "x", "-1"} {
		refused(t, path, v.do("DELETE", "/v1/conversations/"+path, ""), 404, "not_found")
	}
	wantInNoFile(t, r.file(), "conversation\\n1")
	wantInNoFile(t, r.file(), ids[0])
	if a := v.do("GET", "/v1/session", ""); a.status != http.StatusOK {
		t.Errorf("got %d, want the token good still", a.status)
	}
}

// wantInNoFile fails the test if a text is in any file of the SQLite store.
func wantInNoFile(t *testing.T, path, text string) {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %q, %v, want the store's", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), text) {
			t.Errorf("got %q in %s, want it in no file", text, filepath.Base(file))
		}
	}
}

// upstreams returns the ids of AnyFrame's sessions in the order of their creation.
func (r *harness) upstreams() (ids []string) {
	for _, s := range r.plane.Sessions() {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestErase_PresentConversation_StreamsResetAndNextEpoch(t *testing.T) {
	t.Parallel()
	r := newHarness(t, eraseSoon, anyframetest.WithAgent(1, talk))
	r.runs()
	v := r.visitor()
	v.talked(2)
	tabs := []*stream{v.open(""), v.open("")}
	for _, x := range tabs {
		x.turnEnds(1)
	}
	v.erases("/v1/conversations/2")
	for _, x := range tabs {
		es := x.until("the reset", func(es []event) bool { return len(resets(es)) == 1 })
		at := slices.IndexFunc(es, func(e event) bool { return e.kind == "reset" })
		if es[at].str("reason") != "erased" || es[at-1].kind != "session" || es[at-1].str("status") != "ended" || es[at-1].json["epoch"] != 2.0 {
			t.Errorf("got %s and %s, want session ended, then reset erased", es[at-1], es[at])
		}
	}
	if status, epoch := v.session(); status != "ended" || epoch != 2 {
		t.Errorf("got %s %d, want the number kept", status, epoch)
	}
	refused(t, "its transcript", v.do("GET", "/v1/transcript?epoch=2", ""), 404, "not_found")
	if a := v.do("GET", "/v1/transcript", ""); !strings.Contains(a.body, `"events":[]`) {
		t.Errorf("got %s, want nothing of it", a.body)
	}
	late := v.open("2-5")
	es := late.until("a reset", func(es []event) bool { return len(resets(es)) == 1 })
	if got := resets(es)[0]; got != "erased" {
		t.Errorf("got reset %s for an id of it, want erased", got)
	}
	r.erased()
	v.say("again", "another")
	for _, x := range tabs {
		x.until("the third", func(es []event) bool { return count(lastLife(es), "turn_end") == 1 && len(resets(es)) == 2 })
	}
	if _, epoch := v.session(); epoch != 3 {
		t.Errorf("got epoch %d, want 3: a number is never given twice", epoch)
	}
	if got := len(r.plane.Sessions()); got != 2 {
		t.Errorf("got %d sessions at AnyFrame, want the first and the third", got)
	}
}

// A message waits for its new sandbox while the conversation before is erased.
func TestErase_NextMessageWaits_Sent(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); eraseSoon(c) }, anyframetest.WithBootDelay(time.Second), anyframetest.WithAgent(1, talk))
	r.runs()
	v, _ := r.begin("one")
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpDelete, Delay: 300 * time.Millisecond})
	v.erases("/v1/conversations/1")
	if a := v.say("two", "k2"); a.json["epoch"] != 2.0 {
		t.Errorf("got %s, want the second epoch", a.body)
	}
	v.say("two", "k2")
	r.erased()
	if got := len(v.turns(t)); got != 1 || r.plane.Count(anyframetest.OpMessage) != 2 {
		t.Errorf("got %d messages in the transcript and %d at AnyFrame, want 1 and 2", got, r.plane.Count(anyframetest.OpMessage))
	}
}

// A browser sends a DELETE again if its connection breaks before the response.
func TestErase_Repeated_SameErasureUntilDone(t *testing.T) {
	t.Parallel()
	r := newHarness(t, eraseSoon, anyframetest.WithAgent(1, talk))
	v, _ := r.begin("one")
	first := v.do("DELETE", "/v1/conversations/1", "")
	if again := v.do("DELETE", "/v1/conversations/1", ""); again.status != http.StatusAccepted || again.body != first.body {
		t.Errorf("got %d %s, want 202 %s as before", again.status, again.body, first.body)
	}
	r.runs()
	r.erased()
	refused(t, "after the end", v.do("DELETE", "/v1/conversations/1", ""), 404, "not_found")
}

func TestErase_Visitor_EverythingGone(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(*harness) *browser{
		"anonymous": (*harness).visitor,
		"signed in": func(r *harness) *browser { return r.signedIn("ann") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sqliteFile(t)
			r := newHarness(t, func(c *relay.Config) {
				disk(c)
				siteKey(c)
				eraseSoon(c)
			}, anyframetest.WithAgent(1, talk))
			r.runs()
			v := meet(r)
			other := v
			if name == "signed in" {
				other = meet(r) // another device
			}
			v.talked(3)
			neighbour := r.visitor()
			neighbour.say("hello", "k")
			x := other.open("")
			x.turnEnds(1)
			v.erases("/v1/visitor?erase=true")
			es := x.ended()
			if n := len(es); n < 3 || es[n-3].str("status") != "ended" || es[n-2].str("reason") != "erased" || es[n-1].str("code") != "visitor_unknown" {
				t.Errorf("got %v, want session ended, reset erased, and the end", es[max(0, len(es)-3):])
			}
			for _, b := range []*browser{v, other} {
				refused(t, "a token of the visitor's", b.do("GET", "/v1/conversations", ""), 401, "visitor_unknown")
			}
			r.erased()
			if got := len(r.plane.Sessions()); got != 1 {
				t.Errorf("got %d sessions at AnyFrame, want the neighbour's alone", got)
			}
			wantInNoFile(t, r.file(), "conversation\\n")
			for _, b := range []*browser{v, other} {
				refused(t, "a token of the visitor's, later", b.do("GET", "/v1/session", ""), 401, "visitor_unknown")
			}
			if again := meet(r); len(again.conversations()) != 0 {
				t.Error("got conversations of the visitor who was erased, want another who has none")
			}
			if all := neighbour.conversations(); len(all) != 1 {
				t.Errorf("got %+v of the neighbour, want it kept", all)
			}
		})
	}
}

// The request survives a crash of the relay, and AnyFrame's failures.
func TestErase_RelayDies_DoneByTheNext(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); eraseSoon(c) }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.talked(2)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpDelete, Status: 500})
	end := r.runs()
	v.erases("/v1/visitor?erase=true")
	r.awaitLog(`"msg":"failed to erase"`)
	end()
	r.restart()
	if got := r.metric("relay_erasures_pending"); got != 1 {
		t.Errorf("got %v pending, want the one that is not done", got)
	}
	r.plane.ClearFaults()
	r.runs()
	r.erased()
	if got := len(r.plane.Sessions()); got != 0 {
		t.Errorf("got %d sessions at AnyFrame, want none", got)
	}
}

// A sandbox that is up is first terminated, and the erasure waits for it.
func TestErase_SandboxUp_TerminatedFirst(t *testing.T) {
	t.Parallel()
	r := newHarness(t, eraseSoon, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { <-c.Context().Done() }))
	r.runs()
	v := r.visitor()
	v.say("work for ever", "k")
	v.erases("/v1/visitor?erase=true")
	r.erased()
	if got := len(r.plane.Sessions()); got != 0 {
		t.Errorf("got %d sessions at AnyFrame, want none", got)
	}
	if r.plane.Count(anyframetest.OpTerminate) == 0 {
		t.Error("got no sandbox terminated, want it")
	}
}

func TestErase_BadWord_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	for _, bad := range []string{"yes", "1", "TRUE", "true%20", "", "true&erase=true", "false&erase=true"} {
		refused(t, bad, v.do("DELETE", "/v1/visitor?erase="+bad, ""), 400, "bad_request")
	}
	for _, path := range []string{"/v1/visitor?erase=true", "/v1/conversations/1"} {
		refused(t, path, (&browser{r: r}).do("DELETE", path, ""), 401, "visitor_unknown")
	}
	if a := v.do("DELETE", "/v1/visitor?erase=false", ""); a.status != http.StatusNoContent {
		t.Errorf("got %d, want 204", a.status)
	}
}

// Data on another replica is also erased, and its streams are reset.
func TestErase_OtherReplica_StreamsReset(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		a, b := replicas(t, overHTTP1, share, eraseSoon, anyframetest.WithAgent(1, talk))
		a.runs()
		b.runs()
		v := a.visitor()
		v.say("one", "k1")
		x := v.at(b).open("")
		x.turnEnds(1)
		v.erases("/v1/conversations/1")
		es := x.until("the reset", func(es []event) bool { return len(resets(es)) == 1 })
		if got := resets(es)[0]; got != "erased" {
			t.Errorf("got reset %s, want erased", got)
		}
		a.erased()
		if got := len(a.plane.Sessions()); got != 0 {
			t.Errorf("got %d sessions at AnyFrame, want none", got)
		}
	})
}

// Conversations that are idle for long enough are erased; those whose turn is running
// stay.
func TestRetention_IdleConversations_Erased(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { eraseSoon(c); c.Retention = time.Second },
		anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			if c.Prompt() == "work" {
				<-c.Context().Done()
			}
			c.Say("done")
		}))
	unclear, busy, idle := r.visitor(), r.visitor(), r.visitor()
	unclear.say("work", "k") // AnyFrame does not say whether it runs
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpGet, Session: r.upstream(), Status: http.StatusForbidden})
	busy.say("work", "k")
	idle.talked(2)
	r.runs()
	eventually(t, "the idle ones are gone", func() bool { return len(idle.conversations()) == 0 && len(r.plane.Sessions()) == 2 })
	r.erased()
	if all := busy.conversations(); len(all) != 1 {
		t.Errorf("got %+v of the visitor whose turn runs, want it kept", all)
	}
	if got := idle.say("again", "k9"); got.json["epoch"] != 3.0 {
		t.Errorf("got %s, want the third epoch", got.body)
	}
	for _, c := range idle.conversations() { // unless it has been idle for long enough by now
		if c.Epoch != 3 {
			t.Errorf("got %+v, want the third epoch alone", c)
		}
	}
}

// An earlier conversation is erased while the visitor's next message creates a sandbox.
func TestErase_WhileNextConversationBegins_NextGoesOn(t *testing.T) {
	t.Parallel()
	for _, other := range []bool{false, true} {
		t.Run(fmt.Sprint("at another replica ", other), func(t *testing.T) {
			t.Parallel()
			plane := startPlane(t, anyframetest.WithAgent(1, atWork))
			front, slow, release := slowTo(t, plane, "/sessions")
			disk := sqliteFile(t)
			both := func(c *relay.Config) {
				disk(c)
				eraseSoon(c)
				c.BaseURL = front
			}
			a := harnessFor(t, plane, both)
			b := a
			if other {
				b = harnessFor(t, plane, both)
			}
			here := a.visitor()
			here.say("first", "k1")
			here.end()
			slow.Store(true)
			answered := here.held("second", "k2")
			eventually(t, "a sandbox is being created", func() bool { return !slow.Load() })
			var erased sync.WaitGroup
			erased.Go(func() { here.at(b).erases("/v1/conversations/1") })
			time.Sleep(100 * time.Millisecond) // it waits, or is done
			release()
			if one := answered(); one.status != http.StatusAccepted {
				t.Errorf("the message: got %d %s, want 202", one.status, one.body)
			}
			erased.Wait()
			if status, epoch := here.session(); status != "running" || epoch != 2 {
				t.Errorf("got %s %d, want running 2", status, epoch)
			}
			if a := here.do("GET", "/v1/conversations", ""); strings.Contains(a.body, `"epoch":1,`) {
				t.Errorf("got %s, want the first one gone", a.body)
			}
		})
	}
}
