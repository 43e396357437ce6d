package standing

import (
	"log/slog"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
)

// AnyFrame's answer about a sandbox may arrive after its epoch has ended.
func TestStanding_ToldOfAnEarlierConversation_Unchanged(t *testing.T) {
	begin := func(epoch int64, id string) *conversation.Conversation {
		l := ledger.New(ledger.Options{}, "visitor", epoch, 0, slog.New(slog.DiscardHandler))
		return conversation.New(&conversation.Options{}, epoch, id, 0, l, func() {}, nil)
	}
	var s Standing
	s.Init(begin(0, ""))
	old, now := begin(1, "one"), begin(2, "two")
	s.Become(old, event.StatusRunning)
	s.SetLooked(old, true)
	if s.Become(now, event.StatusBooting) != old || s.Looked() {
		t.Fatalf("got looked %v, want the next epoch unknown", s.Looked())
	}
	s.SetLooked(old, true)
	if changed := s.Set(old, event.StatusEnded); changed || s.Looked() || s.View().Status != event.StatusBooting {
		t.Errorf("got changed %v, looked %v, status %s, want the present epoch as it was", changed, s.Looked(), s.View().Status)
	}
	if changed := s.Set(now, event.StatusRunning); !changed || s.View().Status != event.StatusRunning {
		t.Errorf("got changed %v, status %s, want it to run", changed, s.View().Status)
	}
}
