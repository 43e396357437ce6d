package anyframetest

import (
	"slices"
)

// message accepts a visitor's or an operator's message and returns its number.
func (sess *session) message(prompt string, attachments []Attachment) int64 {
	s := sess.server
	if s.noEcho {
		sess.nextSeq(s.seqStep)
	} else {
		type file struct {
			Name string `json:"name"`
			MIME string `json:"mime"`
		}
		files := []file{}
		for _, a := range attachments {
			files = append(files, file{a.Name, a.MIME})
		}
		sess.append(s.seqStep, encode(map[string]any{"type": "user_message", "text": prompt, "attachments": files}), true)
	}
	sess.turns++
	box := sess.box
	box.queue = append(box.queue, turn{number: sess.turns, prompt: prompt, attachments: attachments})
	if !box.busy {
		box.busy = true
		s.work.Go(func() { s.runTurns(sess, box) })
	}
	sess.touch()
	s.notify()
	return sess.seq
}

// runTurns runs the queued turns, in order, until there are none.
func (s *Server) runTurns(sess *session, box *sandbox) {
	finished := false
	defer func() { // a script that ended its goroutine must not block the next turn
		if finished {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if sess.box == box && !s.closed {
			s.work.Go(func() { s.runTurns(sess, box) })
		}
		s.notify()
	}()
	for {
		t, ok := s.nextTurn(sess, box)
		if !ok {
			finished = true
			return
		}
		c := &Chat{server: s, session: sess, box: box, prompt: t.prompt, attachments: t.attachments, turn: t.number}
		sess.agent.script(c)
		if !c.failed {
			c.append(true, resultPayload)
		}
	}
}

// nextTurn takes a turn from the queue. It returns false if there is none; the next
// message then starts a new runner.
func (s *Server) nextTurn(sess *session, box *sandbox) (turn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sess.box != box || len(box.queue) == 0 {
		box.busy = false
		if sess.box == box {
			sess.touch()
		}
		s.notify()
		return turn{}, false
	}
	t := box.queue[0]
	box.queue = box.queue[1:]
	return t, true
}

// find returns the prompt that has any of the ids, or nil.
func (sess *session) find(promptID, toolUseID string) *prompt {
	i := slices.IndexFunc(sess.prompts, func(p *prompt) bool {
		return (promptID != "" || toolUseID != "") &&
			(promptID == "" || promptID == p.id || promptID == p.requestID) &&
			(toolUseID == "" || toolUseID == p.toolUseID)
	})
	if i < 0 {
		return nil
	}
	return sess.prompts[i]
}
