package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// defaultPause is the text for visitors of a pause without a text of its own.
const defaultPause = "This chat is paused. Try again later."

const (
	defaultBlock = 24 * time.Hour
	maxBlock     = 366 * 24 * time.Hour
)

var badText = problem.BadRequest.With(`"text" must be one line of 1 to 500 characters.`)

// showPause returns the pause, if there is one: GET /api/pause.
func (a *Admin) showPause(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, pauseOf(a.Control.State()))
}

func pauseOf(s *control.State) any {
	return struct {
		Paused bool           `json:"paused"`
		Pause  *control.Pause `json:"pause"`
	}{s.Pause() != nil, s.Pause()}
}

// pause refuses new turns and sandboxes: PUT /api/pause.
func (a *Admin) pause(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Text *string `json:"text"`
		Stop bool    `json:"stop"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	text := defaultPause
	if body.Text != nil {
		text = *body.Text
	}
	if !control.ValidText(text) {
		return badText
	}
	if err := a.Control.SetPause(r.Context(), text, operator(r), body.Stop); err != nil {
		return err
	}
	a.audit(r, "pause", "stop", body.Stop)
	return answer(w, pauseOf(a.Control.State()))
}

// unpause ends a pause: DELETE /api/pause.
func (a *Admin) unpause(w http.ResponseWriter, r *http.Request) error {
	if err := a.Control.Unpause(r.Context()); err != nil {
		return err
	}
	a.audit(r, "unpause")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func bannerOf(s *control.State) any {
	return struct {
		Banner *control.Banner `json:"banner"`
	}{s.Banner()}
}

// showBanner returns the banner that every widget shows: GET /api/banner.
func (a *Admin) showBanner(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, bannerOf(a.Control.State()))
}

// setBanner sets the banner of every widget: PUT /api/banner.
func (a *Admin) setBanner(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Text string `json:"text"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	if !control.ValidText(body.Text) {
		return badText
	}
	if err := a.Control.SetBanner(r.Context(), body.Text, operator(r)); err != nil {
		return err
	}
	a.audit(r, "banner")
	return answer(w, bannerOf(a.Control.State()))
}

// removeBanner removes the banner: DELETE /api/banner.
func (a *Admin) removeBanner(w http.ResponseWriter, r *http.Request) error {
	if err := a.Control.RemoveBanner(r.Context()); err != nil {
		return err
	}
	a.audit(r, "unbanner")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listBlocks lists the blocks: GET /api/blocks.
func (a *Admin) listBlocks(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, struct {
		Blocks []control.Block `json:"blocks"`
	}{a.Control.State().Blocks()})
}

// subject returns the subject in a block's route. Addresses are percent-encoded there,
// because a CIDR contains a slash.
func subject(r *http.Request) (string, error) {
	raw, err := url.PathUnescape(chi.URLParam(r, "subject"))
	if err == nil {
		if s, ok := control.Subject(raw); ok {
			return s, nil
		}
	}
	return "", problem.BadRequest.With("Name a visitor by hash (16 hex digits), an IP address or a CIDR, percent-encoded.")
}

func (a *Admin) blockOf(subject string) (control.Block, error) {
	for _, b := range a.Control.State().Blocks() {
		if b.Subject == subject {
			return b, nil
		}
	}
	return control.Block{}, problem.NotFound.With("There is no such block.")
}

// showBlock returns one block: GET /api/blocks/{subject}.
func (a *Admin) showBlock(w http.ResponseWriter, r *http.Request) error {
	who, err := subject(r)
	if err != nil {
		return err
	}
	b, err := a.blockOf(who)
	if err != nil {
		return err
	}
	return answer(w, b)
}

// block refuses a visitor or an address for some time: PUT /api/blocks/{subject}.
func (a *Admin) block(w http.ResponseWriter, r *http.Request) error {
	who, err := subject(r)
	if err != nil {
		return err
	}
	var body struct {
		For *string `json:"for"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	d := defaultBlock
	if body.For != nil {
		if d, err = time.ParseDuration(*body.For); err != nil || d < time.Second || d > maxBlock {
			return problem.BadRequest.With(`"for" must be a duration such as 90m or 24h, from 1s to 366 days (8784h).`)
		}
	}
	b, err := a.Control.Block(r.Context(), who, operator(r), d)
	if err != nil {
		return err
	}
	a.audit(r, "block", "subject", who, "for", d)
	return answer(w, b)
}

// unblock removes a block: DELETE /api/blocks/{subject}.
func (a *Admin) unblock(w http.ResponseWriter, r *http.Request) error {
	who, err := subject(r)
	if err != nil {
		return err
	}
	if _, err := a.blockOf(who); err != nil {
		return err
	}
	if err := a.Control.Unblock(r.Context(), who); err != nil {
		return err
	}
	a.audit(r, "unblock", "subject", who)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
