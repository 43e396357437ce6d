package journal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// KindWaiting is the kind of the records of prompts that wait: by conversation and id, so
// that those of one conversation come after each other.
const KindWaiting = "prompt.waiting"

// Prompt is a question or a permission prompt that waits for an answer.
type Prompt struct {
	Conversation string `json:"-"` // as operators name it
	ID           string `json:"-"`
	Permission   bool   `json:"permission,omitempty"`
	Seq          int64  `json:"seq"` // AnyFrame's number of it
}

// Prompts lists the prompts that wait, of all visitors.
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

// Of returns the prompts of a conversation that wait, at most limit.
func (p *Prompts) Of(ctx context.Context, conversation string, limit int) ([]Prompt, error) {
	records, err := p.Store.RecordsOf(ctx, KindWaiting, conversation, "", limit)
	return readAll(records, err)
}

// List returns at most limit of the prompts that wait, by conversation, after one of a
// conversation; "" begins.
func (p *Prompts) List(ctx context.Context, after string, limit int) ([]Prompt, error) {
	if after != "" {
		after += "!" // past all of that conversation's, whose ids come after a space
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
