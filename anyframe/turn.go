package anyframe

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"
)

// failureGrace is how long a failed turn may take to end properly.
const failureGrace = 2 * time.Second

// errTurnOver is the cause with which Turn leaves the stream of a failed turn that
// did not end.
var errTurnOver = errors.New("the turn is over")

// Turn sends a message and yields the turn's events, up to the [Result] that ends
// it. A failed turn yields a [Failure], which is an event and not an error. It ends
// shortly after, with or without a result.
//
// Nothing is sent until the result is ranged over, and each range sends the message
// again. It is sent like [SessionsService.Message]: on an error, [Error.Sent]
// reports whether it may have arrived, also if the stream fails later. The turn is
// then followed like [SessionsService.Follow], from the event before the message,
// which is derived from the message's seq, or from o.LastEventID if that is set. If
// there is neither, Turn cannot distinguish the turn from earlier ones and yields
// an error.
//
// Turn distinguishes turns only by their order: of two concurrent turns in one
// session, each ends with the first result.
func (s *SessionsService) Turn(
	ctx context.Context, id string, m Message, o StreamOptions, opts ...CallOption,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		follows := also(opts, bodyless)
		if r, _ := s.client.prepareStream(s.events(id), o.LastEventID, follows); r.err != nil {
			yield(Event{}, r.err) // before the message is sent
			return
		}
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
		var grace *time.Timer // set after the turn has failed
		for e, err := range s.Follow(ctx, id, o, follows...) {
			if grace != nil {
				grace.Stop()
			}
			if err != nil && errors.Is(context.Cause(ctx), errTurnOver) {
				return
			}
			if failed, ok := errors.AsType[*Error](err); ok {
				failed.acted = true // whatever is wrong with the stream, the message was sent
			}
			if !yield(e, err) || err != nil {
				return // which leaves Follow, so that it calls OnIdle
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

// resumePoint sets o.LastEventID to the event before the sent message, unless the
// caller has set it.
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
	case *sent.Seq > 1: // otherwise it is the first, with nothing before it
		o.LastEventID = strconv.FormatInt(*sent.Seq-1, 10)
	}
	return nil
}
