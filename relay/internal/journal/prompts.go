package journal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// KindWaiting is the kind of the records of waiting prompts. Their keys are the
// conversation and the id, so that the records of one conversation are adjacent.
const KindWaiting = "prompt.waiting"

// Prompt is a question or a permission prompt that waits for an answer.
type Prompt struct {
	Conversation string `json:"-"` // the id that operators use
	ID           string `json:"-"`
	Permission   bool   `json:"permission,omitempty"`
	Seq          int64  `json:"seq"` // AnyFrame's number for it
}

// Prompts lists the waiting prompts of all visitors.
type Prompts struct {
	Store store.RecordStore
}

func key(conversation, id string) string { return conversation + " " + id }

func (p *Prompts) add(ctx context.Context, waiting Prompt, expires time.Time) error {
	body, err := json.Marshal(waiting)
	if err != nil {
		return err
	}
	_, err = p.Store.SaveRecord(ctx, store.Record{
		Kind: KindWaiting, Key: key(waiting.Conversation, waiting.ID), Owner: waiting.Conversation, Due: time.Now(), Body: string(body), ExpiresAt: expires,
	})
	if errors.Is(err, store.ErrConflict) {
		return nil // another process listed it
	}
	return err
}

func (p *Prompts) remove(ctx context.Context, conversation, id string) error {
	r, err := p.Store.Record(ctx, KindWaiting, key(conversation, id))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = p.Store.DeleteRecord(ctx, KindWaiting, r.Key, r.Version)
	}
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

func read(r store.Record) (Prompt, error) {
	w := Prompt{Conversation: r.Owner, ID: r.Key[min(len(r.Owner)+1, len(r.Key)):]}
	return w, json.Unmarshal([]byte(r.Body), &w)
}

// Of returns at most limit waiting prompts of a conversation.
func (p *Prompts) Of(ctx context.Context, conversation string, limit int) ([]Prompt, error) {
	records, err := p.Store.RecordsOf(ctx, KindWaiting, conversation, "", limit)
	return readAll(records, err)
}

// List returns at most limit waiting prompts, ordered by conversation, after those of the
// conversation after; "" starts at the beginning.
func (p *Prompts) List(ctx context.Context, after string, limit int) ([]Prompt, error) {
	if after != "" {
		after += "!" // past all prompts of that conversation, whose ids follow a space
	}
	records, err := p.Store.Records(ctx, KindWaiting, after, limit)
	return readAll(records, err)
}

func readAll(records []store.Record, err error) ([]Prompt, error) {
	if err != nil {
		return nil, err
	}
	all := make([]Prompt, 0, len(records))
	for _, r := range records {
		w, err := read(r)
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}
