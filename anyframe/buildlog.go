package anyframe

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// StreamBuild reads the log of a build while it is written, and ends when the build
// does. Like [SessionsService.Follow] it sends nothing until it is ranged over,
// yields an error at most once and last, closes its connection when the loop is
// left, and reconnects when the connection breaks. The server then sends the log
// from its beginning, and StreamBuild drops the lines already yielded by their
// offset. It yields each state once, and none that comes before one already
// yielded. A log without offsets ends with the error that broke it. A stream that
// the server ends early ends without an error; the state of the last event is then
// not a final one.
//
// LastEventID of o is ignored.
func (s *AgentsService) StreamBuild(
	ctx context.Context, agentID, buildID int64, o StreamOptions, opts ...CallOption,
) iter.Seq2[BuildEvent, error] {
	o = o.withDefaults()
	r := get("/api/agents/{agent_id}/builds/{build_id}/stream", agentID, buildID)
	return func(yield func(BuildEvent, error) bool) {
		t := tail{
			patience: patience{client: s.client, o: o, opts: opts, request: r},
			highest:  -1, states: map[BuildState]bool{},
		}
		for {
			err := t.connection(ctx, yield)
			if err == nil {
				return
			}
			if passing(err) && !t.lost {
				err = t.pause(ctx, err, "")
			}
			if err != nil {
				yield(BuildEvent{}, err)
				return
			}
		}
	}
}

// BuildEvent is one event of a build's log: a line or, with a State, a change of
// the build's state.
type BuildEvent struct {
	Name   string     // the SSE event name
	Text   string     // the line; "" if State is set
	Offset *int64     // the line's position in the log; nil if not sent
	State  BuildState // "" for a line
	Data   []byte     // as sent
}

// newBuildEvent decodes the forms that servers use: an object whose line is its
// content or its text, and plain text.
func newBuildEvent(name string, data []byte) BuildEvent {
	e := BuildEvent{Name: name, Data: data}
	var w struct {
		Offset  json.RawMessage `json:"offset"`
		Content json.RawMessage `json:"content"`
		Text    json.RawMessage `json:"text"`
		State   json.RawMessage `json:"state"`
	}
	object := isObject(data) && json.Unmarshal(data, &w) == nil
	content, isContent := plainString(w.Content)
	text, isText := plainString(w.Text)
	if state, ok := plainString(w.State); ok && (name == "state" || !isContent && !isText) {
		e.State = BuildState(state)
		return e
	}
	if name == "state" && !object {
		bare, ok := plainString(data)
		if !ok {
			bare = string(bytes.TrimSpace(data))
		}
		e.State = BuildState(bare)
		return e
	}
	switch {
	case isContent:
		e.Text = content
	case isText:
		e.Text = text
	default:
		e.Text = string(data)
	}
	if offset, ok := loose.Int(w.Offset); ok {
		e.Offset = &offset
	}
	return e
}

// plainString decodes a JSON string and refuses anything else.
func plainString(raw json.RawMessage) (s string, ok bool) {
	ok = len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
	return s, ok
}

// tail is one range over StreamBuild.
type tail struct {
	patience
	highest int64               // the highest offset yielded; -1 if none
	lost    bool                // a line without an offset was yielded: a reconnect would repeat it
	states  map[BuildState]bool // those yielded
}

// connection reads one connection until it ends, and returns the error. It returns
// nil if the log has ended or the consumer left the loop.
func (t *tail) connection(ctx context.Context, yield func(BuildEvent, error) bool) error {
	st, err := t.open(ctx, "")
	if err != nil {
		return err
	}
	defer st.close()
	for {
		raw, err := st.next()
		t.heard(&st.dec)
		if err == io.EOF { //nolint:errorlint // next never wraps it
			return nil
		}
		if err != nil {
			return err
		}
		e := newBuildEvent(raw.Name, raw.Data)
		if !t.isNew(e) {
			continue
		}
		st.body.batch = true
		if !yield(e, nil) || e.State.terminal() {
			st.body.idleNow()
			return nil
		}
	}
}

// isNew reports whether the event was not yielded before, and records that it was.
func (t *tail) isNew(e BuildEvent) bool {
	switch {
	case e.State != "":
		// A build is queued first; after any other state, it is a repetition.
		if t.states[e.State] || e.State == BuildStateQueued && len(t.states) > 0 {
			return false
		}
		t.states[e.State] = true
	case e.Offset == nil:
		t.lost = true
	case *e.Offset <= t.highest:
		return false
	default:
		t.highest = *e.Offset
		t.stalls = 0
	}
	return true
}
