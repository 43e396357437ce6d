package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
)

// maxFeedbackBody is the maximum size in bytes of a body with the longest comment: JSON
// may need 12 bytes per character.
const maxFeedbackBody = maxSmallBody + 12*feedback.MaxComment

// giveFeedback stores the visitor's feedback about the answer to a turn: POST
// /v1/feedback. It counts only against the address's requests.
func (a *api) giveFeedback(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	room := a.limits.Body(limits.Who{Visitor: v.ID, Addr: clientip.Of(r)})
	defer room.Release()
	data, err := body.Read(w, r, maxFeedbackBody, room)
	if err != nil {
		return err
	}
	word, err := parseFeedback(data)
	if err != nil {
		return err
	}
	if !a.options.Feedback {
		return problem.FeedbackOff
	}
	if !keyPattern.MatchString(word.Turn) {
		return problem.TurnUnknown
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	ctx := context.WithoutCancel(r.Context())
	turn, err := sess.Conversation().Ledger().Stored(ctx, word.Turn)
	if errors.Is(err, store.ErrNotFound) {
		return problem.TurnUnknown
	}
	if err != nil {
		return err
	}
	word.Epoch = turn.Epoch
	erasing, err := a.erasing(ctx, v.ID, word.Epoch)
	if err != nil {
		return err
	}
	if erasing {
		return problem.TurnUnknown
	}
	if err := a.feedback.Rate(ctx, v.ID, word); err != nil {
		return err
	}
	return WriteJSON(w, http.StatusAccepted, struct{}{})
}

// parseFeedback parses a body of POST /v1/feedback.
func parseFeedback(body []byte) (word feedback.Word, err error) {
	var rating json.RawMessage
	if err := strictjson.Decode(body, "", strictjson.Fields{"turn": &word.Turn, "rating": &rating, "comment": &word.Comment}); err != nil {
		return word, err
	}
	var said *string
	switch err := json.Unmarshal(rating, &said); {
	case word.Turn == "":
		return word, problem.BadRequest.With(`"turn" is missing.`)
	case len(rating) == 0:
		return word, problem.BadRequest.With(`"rating" is missing.`)
	case err != nil, said != nil && *said != feedback.Up && *said != feedback.Down:
		return word, problem.BadRequest.With(`"rating" must be "up", "down" or null.`)
	case utf8.RuneCountInString(word.Comment) > feedback.MaxComment:
		return word, problem.BadRequest.With(`"comment" is longer than %d characters.`, feedback.MaxComment)
	case strings.ContainsRune(word.Comment, 0):
		return word, problem.BadRequest.With(`"comment" contains a NUL character.`)
	case said != nil:
		word.Rating = *said
	}
	return word, nil
}

// erasing reports whether a visitor's epoch is being erased.
func (a *api) erasing(ctx context.Context, visitor string, epoch int64) (bool, error) {
	c, err := a.book.Get(ctx, visitor, epoch)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return c.Erasing != "", err
}

// opinion is one piece of a visitor's feedback in an export.
type opinion struct {
	Epoch   int64     `json:"epoch"`
	Turn    string    `json:"turn"`
	Rating  string    `json:"rating"`
	Comment *string   `json:"comment"`
	RatedAt time.Time `json:"rated_at"`
}

// opinions returns all of a visitor's feedback.
func (a *api) opinions(ctx context.Context, visitor string) ([]opinion, error) {
	all := []opinion{}
	words, err := a.feedback.List(ctx, visitor)
	if err != nil {
		return nil, err
	}
	gone := map[int64]bool{}
	for _, w := range words {
		if _, asked := gone[w.Epoch]; !asked {
			if gone[w.Epoch], err = a.erasing(ctx, visitor, w.Epoch); err != nil {
				return nil, err
			}
		}
	}
	// Read again, because a conversation may have been erased in the meantime.
	if words, err = a.feedback.List(ctx, visitor); err != nil {
		return nil, err
	}
	for _, w := range words {
		if w.Rating != feedback.None && !gone[w.Epoch] {
			all = append(all, opinion{w.Epoch, w.Turn, w.Rating, orNull(w.Comment), past.Instant(w.At)})
		}
	}
	return all, nil
}

// ratings returns a visitor's ratings in an epoch, as events.
func (a *api) ratings(ctx context.Context, visitor string, epoch int64) (items []event.Item, err error) {
	if !a.options.Feedback {
		return nil, nil
	}
	erasing, err := a.erasing(ctx, visitor, epoch)
	if err != nil || erasing {
		return nil, err
	}
	words, err := a.feedback.List(ctx, visitor)
	return past.Ratings(words, epoch), err
}
