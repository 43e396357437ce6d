package anyframe

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"
)

// failureGrace is how long a turn that failed is given to end properly.
const failureGrace = 2 * time.Second

// errTurnOver is the cause with which Turn leaves the stream of a turn that
// failed and never ended.
var errTurnOver = errors.New("the turn is over")

// Turn sends a message and yields what comes of it, up to the [Result] that ends
// the turn. A turn that fails yields a [Failure], which is an event and no
// error, and ends a moment later at the latest, with or without a result.
//
// Nothing is sent until the result is ranged over, and every range sends the
// message again. It is sent as by [SessionsService.Message]: on an error,
// [Error.Sent] says whether it may have arrived. The turn is then followed as by
// [SessionsService.Follow], from the event before the message, which the
// message's seq tells, or from o.LastEventID if that is set; where there is
// neither, it cannot be told from the turns before, and that is an error too.
//
// Turn knows one turn from the next only by their order: with two at once in the
// same session, each ends with the first result.
func (s *SessionsService) Turn(
	ctx context.Context, id string, m Message, o StreamOptions, opts ...CallOption,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		sent, attempts, err := s.message(ctx, id, m, opts)
		if err != nil {
			yield(Event{}, err)
			return
		}
		o := o // a second range is another turn
		if err := s.resumePoint(id, sent, attempts, &o); err != nil {
			yield(Event{}, err)
			return
		}
		ctx, leave := context.WithCancelCause(ctx)
		defer leave(nil)
		var grace *time.Timer // set once the turn has failed
		for e, err := range s.Follow(ctx, id, o, also(opts, bodyless)...) {
			if grace != nil {
				grace.Stop()
			}
			if err != nil && errors.Is(context.Cause(ctx), errTurnOver) {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
			switch e.Type() {
			case TypeResult:
				return
			case TypeFailure:
				grace = time.AfterFunc(failureGrace, func() { leave(errTurnOver) })
			default:
				if grace != nil {
					grace.Reset(failureGrace)
				}
			}
		}
	}
}

// resumePoint sets o.LastEventID to the event before the message that was sent,
// unless the caller has set it.
func (s *SessionsService) resumePoint(id string, sent *MessageResult, attempts int, o *StreamOptions) error {
	r := post("/api/sessions/{session_id}/message", id)
	e := &Error{Method: r.method, Path: r.path, Attempts: attempts}
	switch {
	case !sent.OK:
		e.Message = "the message was not taken: " + string(sent.Raw)
		return e
	case o.LastEventID != "":
	case sent.Seq == nil:
		e.Message = "the answer has no seq and no last event id was given: this turn cannot be told from those before"
		e.cause = ErrInvalidResponse
		return e
	case *sent.Seq > 1: // else it is the first, and there is nothing before it
		o.LastEventID = strconv.FormatInt(*sent.Seq-1, 10)
	}
	return nil
}
