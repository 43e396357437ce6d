package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	usualRows  = 50
	maxRows    = 200
	maxScanned = 2000 // maximum number of conversations examined for one answer
)

// filter holds the parameters of a list request.
type filter struct {
	site    string
	status  event.Status
	waiting bool
	limit   int
	active  time.Time // of the last row of the previous page
	id      string
}

var statuses = []event.Status{event.StatusNone, event.StatusBooting, event.StatusRunning, event.StatusSleeping, event.StatusFailed, event.StatusEnded}

func readFilter(r *http.Request) (f filter, err error) {
	q := r.URL.Query()
	for name := range q {
		switch name {
		case "site", "status", "waiting", "limit", "cursor":
		default:
			return f, problem.BadRequest.With("Invalid query. Valid parameters are site, status, waiting, limit and cursor.")
		}
	}
	f = filter{site: q.Get("site"), status: event.Status(q.Get("status")), limit: usualRows}
	known := f.status == ""
	for _, s := range statuses {
		known = known || s == f.status
	}
	if !known {
		return f, problem.BadRequest.With(`"status" must be none, booting, running, sleeping, failed or ended.`)
	}
	if w := q.Get("waiting"); w != "" {
		if f.waiting, err = strconv.ParseBool(w); err != nil || (w != "true" && w != "false") {
			return f, problem.BadRequest.With(`"waiting" must be true or false.`)
		}
	}
	if n := q.Get("limit"); n != "" {
		if f.limit, err = strconv.Atoi(n); err != nil || f.limit < 1 || f.limit > maxRows {
			return f, problem.BadRequest.With(`"limit" must be a number from 1 to %d.`, maxRows)
		}
	}
	if c := q.Get("cursor"); c != "" {
		text, err := base64.RawURLEncoding.DecodeString(c)
		at, id, ok := strings.Cut(string(text), " ")
		ms, numErr := strconv.ParseInt(at, 10, 64)
		if err != nil || numErr != nil || !ok || id == "" {
			return f, problem.BadRequest.With(`"cursor" must be the next_cursor of an earlier response.`)
		}
		f.active, f.id = store.FromMillis(ms), id
	}
	return f, nil
}

// cursorAt returns the cursor after a conversation.
func cursorAt(active time.Time, id string) *string {
	text := base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(active.UnixMilli(), 10) + " " + id))
	return &text
}

// listConversations lists conversations, latest first, or with waiting=true those with a
// waiting prompt: GET /api/conversations.
func (a *Admin) listConversations(w http.ResponseWriter, r *http.Request) error {
	f, err := readFilter(r)
	if err != nil {
		return err
	}
	sites, err := a.Sites(r.Context())
	if err != nil {
		return err
	}
	if f.site != "" {
		sites = slices.DeleteFunc(sites, func(s Site) bool { return s.Name != f.site })
	}
	out := struct {
		Conversations []conversation `json:"conversations"`
		Next          *string        `json:"next_cursor"`
	}{[]conversation{}, nil}
	for scanned := 0; ; scanned++ { // a page without rows also counts
		page, more, err := pageOf(r.Context(), sites, &f)
		if err != nil {
			return err
		}
		for i, c := range page {
			scanned++
			row, err := rowOf(r.Context(), c)
			if err != nil {
				return err
			}
			if f.status == "" || row.Status == f.status {
				out.Conversations = append(out.Conversations, row)
			}
			if len(out.Conversations) == f.limit || scanned >= maxScanned {
				if more || i < len(page)-1 {
					out.Next = cursorAt(c.ActiveAt, c.ID)
				}
				return answer(w, out)
			}
		}
		switch {
		case !more:
			return answer(w, out)
		case scanned >= maxScanned:
			out.Next = cursorAt(f.active, f.id)
			return answer(w, out)
		}
	}
}

// listed is a conversation in a list, with its site.
type listed struct {
	history.Conversation
	site *Site
}

// pageOf returns at most f.limit next conversations of all sites that may match the
// filter, and whether there may be more. It moves the filter past them.
func pageOf(ctx context.Context, sites []Site, f *filter) (page []listed, more bool, err error) {
	end := "" // with waiting, the conversation up to which each site was read
	for i := range sites {
		read := latest
		if f.waiting {
			read = waiting
		}
		some, last, full, err := read(ctx, &sites[i], f)
		if err != nil {
			return nil, false, err
		}
		for _, c := range some {
			page = append(page, listed{c, &sites[i]})
		}
		if more = more || full; full && (end == "" || last < end) {
			end = last
		}
	}
	if f.waiting {
		slices.SortFunc(page, func(x, y listed) int { return strings.Compare(x.ID, y.ID) })
		page = slices.DeleteFunc(page, func(c listed) bool { return end != "" && c.ID > end })
	} else {
		slices.SortFunc(page, func(x, y listed) int { return cmp.Or(y.ActiveAt.Compare(x.ActiveAt), strings.Compare(y.ID, x.ID)) })
	}
	switch {
	case len(page) > f.limit:
		page, more = page[:f.limit], true
		fallthrough
	case !f.waiting && len(page) > 0:
		f.active, f.id = page[len(page)-1].ActiveAt, page[len(page)-1].ID
	case end != "":
		f.id = end
	}
	return page, more, nil
}

// latest returns one site's part of a page, the id of the last conversation read, and
// whether the site may have more.
func latest(ctx context.Context, s *Site, f *filter) (all []history.Conversation, last string, full bool, err error) {
	all, err = s.Book.Latest(ctx, f.active, f.id, f.limit)
	if len(all) > 0 {
		last = all[len(all)-1].ID
	}
	return all, last, len(all) == f.limit, err
}

// waiting is [latest] for conversations with a waiting prompt, ordered by id.
func waiting(ctx context.Context, s *Site, f *filter) (all []history.Conversation, last string, full bool, err error) {
	prompts, err := s.Prompts.List(ctx, f.id, f.limit)
	if err != nil {
		return nil, "", false, err
	}
	for _, p := range prompts {
		if p.Conversation == last {
			continue
		}
		last = p.Conversation
		c, err := s.Book.Find(ctx, p.Conversation)
		if errors.Is(err, store.ErrNotFound) || err == nil && c.Erasing != "" {
			continue
		}
		if err != nil {
			return nil, "", false, err
		}
		all = append(all, c)
	}
	return all, last, len(prompts) == f.limit, nil
}
