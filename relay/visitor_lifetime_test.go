package relay_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

// Opening a page creates a visitor, and so does an attacker who wants to fill the store.
func TestVisitor_NeverSentTurn_ExpiresAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, nil)
		left, stays := d.mint(), d.mint()
		for range 3 {
			time.Sleep(50 * time.Minute)
			a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(stays)...)
			if got, want := a.json["expires_at"], time.Now().Add(720*time.Hour).UTC().Format(time.RFC3339); a.token() != stays || got != want {
				t.Fatalf("one who comes back: got %s, want the same token until %s, if it says something", a.body, want)
			}
		}
		refused(t, "one who left", d.ask("GET", "/v1/session", "", bearer(left)...), 401, "visitor_unknown")
		time.Sleep(time.Hour + time.Second)
		refused(t, "one who left later", d.ask("GET", "/v1/session", "", bearer(stays)...), 401, "visitor_unknown")
	})
}

func TestVisitor_SentTurn_KeptForTTL(t *testing.T) {
	t.Parallel()
	onDisk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { onDisk(c); c.BootOnOpen = true }, anyframetest.WithAgent(1, talk))
	disk, err := stores.Open(t.Context(), r.conf.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	inStore := func(v *browser) (deadline time.Time, visitor string) {
		t.Helper()
		hash := sha256.Sum256([]byte(v.token))
		b, found, err := disk.FindCtx(t.Context(), base64.RawURLEncoding.EncodeToString(hash[:]))
		deadline, values, err2 := relay.VisitorCodec{}.Decode(b)
		if err != nil || !found || err2 != nil {
			t.Fatalf("the visitor in the store: got %q, %v, %v, %v", b, found, err, err2)
		}
		return deadline, values["visitor"].(string)
	}
	remembered := func(v *browser) time.Duration {
		t.Helper()
		deadline, _ := inStore(v)
		return time.Until(deadline)
	}
	a, b, c := r.visitor(), r.visitor(), r.visitor()
	a.say("hello", "k1")
	if got := remembered(a); got < 719*time.Hour {
		t.Errorf("after the first turn: remembered for %v, want 720 h", got)
	}
	if got := remembered(b); got > time.Hour {
		t.Errorf("before the first turn: remembered for %v, want an hour", got)
	}

	// A visitor who returns only to read finds the conversation for as long.
	session := func() store.Session {
		t.Helper()
		_, id := inStore(a)
		rec, err := disk.Session(t.Context(), id)
		if err != nil || rec.Epoch != 1 {
			t.Fatalf("the session in the store: got %+v, %v", rec, err)
		}
		return rec
	}
	eventually(t, "its last turn is long ago", func() bool {
		rec := session()
		rec.ExpiresAt = time.Now().Add(time.Hour)
		_, err := disk.SaveSession(t.Context(), rec)
		return err == nil
	})
	if a.do("POST", "/v1/visitor", `{}`); time.Until(session().ExpiresAt) < 719*time.Hour {
		t.Errorf("introduced again: the session is kept for %v, want 720 h", time.Until(session().ExpiresAt))
	}

	b.do("POST", "/v1/session", "")
	eventually(t, "the session is there", func() bool { _, epoch := b.session(); return epoch == 1 })
	if b.do("POST", "/v1/visitor", `{}`); remembered(b) < 719*time.Hour {
		t.Errorf("introduced again with a session: remembered for %v, want 720 h", remembered(b))
	}
	if a := c.do("POST", "/v1/messages", `{"text":""}`); a.status != http.StatusBadRequest || remembered(c) > time.Hour {
		t.Errorf("after nothing was said: got %d, remembered for %v, want 400 and an hour", a.status, remembered(c))
	}
}
