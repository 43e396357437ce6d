package history

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// Kind is the kind of the records, one for each conversation.
	Kind = "conversation"
	// MaxListed is how many conversations a visitor can list.
	MaxListed = 200
	// maxTitle is the maximum length of a title in code points.
	maxTitle = 80
	// pageSize is how many records are read at once.
	pageSize = 200
)

// Conversation is one epoch of a visitor's.
type Conversation struct {
	ID      string // the id that operators use; see [ID]
	Visitor string
	Epoch   int64
	// Upstream is AnyFrame's id of it. Lost are the ids of other sessions that had the
	// same epoch until the relay detected it; they must also be deleted at AnyFrame.
	Upstream string
	Lost     []string

	Title     string // from the first message
	StartedAt time.Time
	ActiveAt  time.Time // when a turn was last accepted or ended
	// Busy: a turn was accepted and has no recorded end. Its relay process may have
	// crashed.
	Busy bool
	// Turn is the key of the running turn, "" if the agent is not busy or the turn is
	// unknown.
	Turn string
	// Erasing is the id of the erasure that deletes it, "" if there is none. Such a
	// conversation is no longer shown, and Idle does not return it.
	Erasing string

	titled  bool
	version int64
}

// body is what the store keeps of a conversation besides its key, owner and due time.
type body struct {
	Epoch    int64    `json:"epoch"`
	Upstream string   `json:"upstream"`
	Lost     []string `json:"lost,omitempty"`
	Title    string   `json:"title,omitempty"`
	Titled   bool     `json:"titled,omitempty"`
	Started  int64    `json:"started"` // in milliseconds
	Active   int64    `json:"active"`
	Busy     bool     `json:"busy,omitempty"`
	Turn     string   `json:"turn,omitempty"`
	Erasing  string   `json:"erasing,omitempty"`
}

// ID returns the id of a visitor's epoch. It reveals neither, and the ids of one visitor
// sort newest first.
func ID(visitor string, epoch int64) string {
	sum := sha256.Sum256([]byte("conversation\x00" + visitor))
	return fmt.Sprintf("%s%08x", strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])), math.MaxUint32-min(epoch, math.MaxUint32))
}

// Book stores the conversations of all visitors.
type Book struct {
	Store store.RecordStore
	// TTL is how long a conversation is kept after its last activity, or its visitor's
	// last visit.
	TTL time.Duration
	// Forever keeps each conversation until it is deleted, for operators who delete idle
	// ones themselves.
	Forever bool
}

func read(r store.Record) (Conversation, error) {
	var b body
	if err := json.Unmarshal([]byte(r.Body), &b); err != nil {
		return Conversation{}, fmt.Errorf("read a conversation's record: %w", err)
	}
	return Conversation{
		ID: r.Key, Visitor: r.Owner, Epoch: b.Epoch, Upstream: b.Upstream, Lost: b.Lost,
		Title: b.Title, StartedAt: store.FromMillis(b.Started), ActiveAt: store.FromMillis(b.Active), Busy: b.Busy, Turn: b.Turn, Erasing: b.Erasing,
		titled: b.Titled, version: r.Version,
	}, nil
}

func (b *Book) record(c *Conversation) (store.Record, error) {
	text, err := json.Marshal(body{
		c.Epoch, c.Upstream, c.Lost, c.Title, c.titled, c.StartedAt.UnixMilli(), c.ActiveAt.UnixMilli(), c.Busy, c.Turn, c.Erasing,
	})
	r := store.Record{Kind: Kind, Key: c.ID, Owner: c.Visitor, Due: c.ActiveAt, Body: string(text), Version: c.version}
	switch {
	case c.Erasing != "": // kept until it is erased
		r.Due = time.Time{}
	case !b.Forever:
		r.ExpiresAt = time.Now().Add(b.TTL)
	}
	return r, err
}

// Get returns a visitor's conversation, or [store.ErrNotFound].
func (b *Book) Get(ctx context.Context, visitor string, epoch int64) (Conversation, error) {
	return b.Find(ctx, ID(visitor, epoch))
}

// Find returns the conversation with this id, or [store.ErrNotFound].
func (b *Book) Find(ctx context.Context, id string) (Conversation, error) {
	r, err := b.Store.Record(ctx, Kind, id)
	if err != nil {
		return Conversation{}, err
	}
	return read(r)
}

// List returns a visitor's conversations, newest first, at most [MaxListed].
func (b *Book) List(ctx context.Context, visitor string) (all []Conversation, err error) {
	err = b.Each(ctx, visitor, func(c Conversation) (bool, error) {
		if c.Erasing == "" {
			all = append(all, c)
		}
		return len(all) < MaxListed, nil
	})
	return all, err
}

// Each calls do with each of a visitor's conversations, newest first, including those
// that are being erased, until do returns false or an error.
func (b *Book) Each(ctx context.Context, visitor string, do func(Conversation) (more bool, err error)) error {
	for after := ""; ; {
		page, err := b.Store.RecordsOf(ctx, Kind, visitor, after, pageSize)
		if err != nil {
			return err
		}
		for _, r := range page {
			c, err := read(r)
			if err != nil {
				return err
			}
			if more, err := do(c); err != nil || !more {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// Newest returns the visitor's highest known epoch, or 0.
func (b *Book) Newest(ctx context.Context, visitor string) (epoch int64, err error) {
	err = b.Each(ctx, visitor, func(c Conversation) (bool, error) {
		epoch = c.Epoch
		return false, nil
	})
	return epoch, err
}

// Idle returns at most limit of the conversations that were last active at until or
// before, idlest first.
func (b *Book) Idle(ctx context.Context, until time.Time, limit int) ([]Conversation, error) {
	due, err := b.Store.RecordsDue(ctx, Kind, until, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Conversation, 0, len(due))
	for _, r := range due {
		c, err := read(r)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// Begin records AnyFrame's session upstream as a visitor's epoch. If another session had
// that epoch, it is kept as lost.
func (b *Book) Begin(ctx context.Context, visitor string, epoch int64, upstream string) error {
	return b.change(ctx, visitor, epoch, upstream, func(c *Conversation) bool { return c.version == 0 })
}

// Keep is Begin for the session in a visitor's row, if there is one.
func (b *Book) Keep(ctx context.Context, visitor string, row store.Session) error {
	if row.UpstreamID == "" {
		return nil
	}
	return b.Begin(ctx, visitor, row.Epoch, row.UpstreamID)
}

// Moved records that AnyFrame's session id, which shared the epoch from with stray, is
// now the epoch to.
func (b *Book) Moved(ctx context.Context, visitor string, from int64, stray string, to int64, id string) error {
	err := b.change(ctx, visitor, from, stray, func(c *Conversation) bool {
		c.Lost = slices.DeleteFunc(c.Lost, func(lost string) bool { return lost == id || lost == stray })
		return true
	})
	return errors.Join(err, b.Begin(ctx, visitor, to, id))
}

// Turn records that AnyFrame accepted a turn, also while the conversation is being erased:
// retention then keeps it. The first turn's text becomes the title; running is the key of
// the running turn.
func (b *Book) Turn(ctx context.Context, visitor string, epoch int64, upstream, text, running string) error {
	return b.update(ctx, visitor, epoch, upstream, func(c *Conversation) bool {
		if !c.titled {
			c.titled, c.Title = true, Title(text)
		}
		c.ActiveAt, c.Busy, c.Turn = time.Now(), true, running
		return true
	})
}

// Rest records that a turn has ended, whether the agent is still busy, and the key of the
// running turn if so.
func (b *Book) Rest(ctx context.Context, visitor string, epoch int64, busy bool, running string) error {
	return b.change(ctx, visitor, epoch, "", func(c *Conversation) bool {
		c.ActiveAt, c.Busy, c.Turn = time.Now(), busy, running
		return true
	})
}

// Extend extends the TTL of the conversations of a returning visitor.
func (b *Book) Extend(ctx context.Context, visitor string) error {
	if b.Forever {
		return nil
	}
	return b.Each(ctx, visitor, func(c Conversation) (bool, error) {
		return true, b.change(ctx, visitor, c.Epoch, "", func(*Conversation) bool { return true })
	})
}

// Erase marks the conversation as being deleted by an erasure; it is no longer shown. It
// returns what must be deleted, and which erasure deletes it: the given one, unless
// another has already begun.
func (b *Book) Erase(ctx context.Context, id, erasure string) (c Conversation, by string, err error) {
	for {
		if c, err = b.Find(ctx, id); err != nil || c.Erasing != "" {
			return c, c.Erasing, err
		}
		c.Erasing = erasure
		r, err := b.record(&c)
		if err != nil {
			return c, "", err
		}
		if _, err = b.Store.SaveRecord(ctx, r); !errors.Is(err, store.ErrConflict) {
			return c, erasure, err
		}
	}
}

// Spare undoes Erase, and counts the conversation as active now.
func (b *Book) Spare(ctx context.Context, id string) error {
	for {
		c, err := b.Find(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Erasing, c.ActiveAt = "", time.Now()
		r, err := b.record(&c)
		if err != nil {
			return err
		}
		if _, err = b.Store.SaveRecord(ctx, r); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Remove deletes the record of a conversation.
func (b *Book) Remove(ctx context.Context, id string) error {
	for {
		r, err := b.Store.Record(ctx, Kind, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = b.Store.DeleteRecord(ctx, Kind, id, r.Version); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// change is update, except for a conversation that is being erased.
func (b *Book) change(ctx context.Context, visitor string, epoch int64, upstream string, f func(*Conversation) bool) error {
	return b.update(ctx, visitor, epoch, upstream, func(c *Conversation) bool { return c.Erasing == "" && f(c) })
}

// update changes the record of an epoch, if f returns true. If there is no record, it
// creates one, provided that upstream is known.
func (b *Book) update(ctx context.Context, visitor string, epoch int64, upstream string, f func(*Conversation) bool) error {
	for {
		c, err := b.Get(ctx, visitor, epoch)
		switch {
		case errors.Is(err, store.ErrNotFound) && upstream == "":
			return nil
		case errors.Is(err, store.ErrNotFound):
			now := time.Now()
			c = Conversation{ID: ID(visitor, epoch), Visitor: visitor, Epoch: epoch, Upstream: upstream, StartedAt: now, ActiveAt: now}
		case err != nil:
			return err
		}
		replaced := c.Erasing == "" && upstream != "" && c.Upstream != upstream
		if replaced {
			c.Lost, c.Upstream = append(c.Lost, c.Upstream), upstream
		}
		if !f(&c) && !replaced {
			return nil
		}
		r, err := b.record(&c)
		if err != nil {
			return err
		}
		if _, err = b.Store.SaveRecord(ctx, r); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Title returns the title of a conversation that begins with text: its first 80 code
// points, with every run of white space replaced by one space.
func Title(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	n := 0
	for i := range text {
		if n++; n > maxTitle {
			return text[:i]
		}
	}
	return text
}
