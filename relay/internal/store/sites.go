package store

import (
	"context"
	"strings"
	"time"
)

// ForSite returns a site's view of s. The site has its own rows, which no other site
// sees, under names in s that begin with the site's name and a slash. The site without a
// name uses names without that prefix, as if there were no other site; none of them has a
// slash before a colon. Only sandboxes are counted for all sites together: those of other
// sites have [Awake.Foreign] set, and their name in s.
//
// The result implements each method of [Store] explicitly, so that a method added later
// cannot give access to other sites' rows by being forgotten here. Its Close does
// nothing.
func ForSite(s Store, name string) Store {
	prefix := ""
	if name != "" {
		prefix = name + "/"
	}
	return &siteView{s, prefix}
}

type siteView struct {
	all    Store
	prefix string
}

// SiteOf splits a name in the store into the site and its name on the site.
func SiteOf(name string) (site, rest string) {
	site, rest, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(site, ":") {
		return "", name
	}
	return site, rest
}

// NotifierForSite returns a Notifier that publishes hints about the visitors of one site:
// [SiteOf] splits what the others receive. It returns nil if there is no notifier.
func NotifierForSite(n Notifier, name string) Notifier {
	if n == nil || name == "" {
		return n
	}
	return siteNotifier{n, name + "/"}
}

type siteNotifier struct {
	Notifier
	prefix string
}

func (n siteNotifier) Publish(ctx context.Context, visitor string) error {
	return n.Notifier.Publish(ctx, n.prefix+visitor)
}

func (v *siteView) in(name string) string { return v.prefix + name }

// own returns a session as the site sees it.
func (v *siteView) own(s Session) Session {
	s.Visitor = strings.TrimPrefix(s.Visitor, v.prefix)
	return s
}

func (v *siteView) ownNote(n Note) Note {
	n.Visitor = strings.TrimPrefix(n.Visitor, v.prefix)
	return n
}

func (v *siteView) ownNotes(all []Note) []Note {
	for i := range all {
		all[i] = v.ownNote(all[i])
	}
	return all
}

// Find implements [Store], as do the methods below.
func (v *siteView) Find(token string) ([]byte, bool, error) { return v.all.Find(v.in(token)) }

func (v *siteView) Commit(token string, b []byte, expiry time.Time) error {
	return v.all.Commit(v.in(token), b, expiry)
}

func (v *siteView) Delete(token string) error { return v.all.Delete(v.in(token)) }

func (v *siteView) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return v.all.FindCtx(ctx, v.in(token))
}

func (v *siteView) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return v.all.CommitCtx(ctx, v.in(token), b, expiry)
}

func (v *siteView) DeleteCtx(ctx context.Context, token string) error {
	return v.all.DeleteCtx(ctx, v.in(token))
}

func (v *siteView) Session(ctx context.Context, visitor string) (Session, error) {
	s, err := v.all.Session(ctx, v.in(visitor))
	return v.own(s), err
}

func (v *siteView) SaveSession(ctx context.Context, s Session) (Session, error) {
	s.Visitor = v.in(s.Visitor)
	saved, err := v.all.SaveSession(ctx, s)
	return v.own(saved), err
}

func (v *siteView) Forget(ctx context.Context, visitor string) error {
	return v.all.Forget(ctx, v.in(visitor))
}

func (v *siteView) Note(ctx context.Context, visitor, kind, key string) (Note, error) {
	n, err := v.all.Note(ctx, v.in(visitor), kind, key)
	return v.ownNote(n), err
}

func (v *siteView) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error) {
	all, err := v.all.Notes(ctx, v.in(visitor), kind, epoch)
	return v.ownNotes(all), err
}

func (v *siteView) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) ([]Note, int64, error) {
	all, cursor, err := v.all.NotesSince(ctx, v.in(visitor), kind, epoch, since)
	return v.ownNotes(all), cursor, err
}

func (v *siteView) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) ([]Note, int64, error) {
	all, cursor, err := v.all.NotesAt(ctx, v.in(visitor), kind, epoch, from, to, limit)
	return v.ownNotes(all), cursor, err
}

func (v *siteView) BeginNote(ctx context.Context, n Note) (Note, bool, error) {
	n.Visitor = v.in(n.Visitor)
	stored, fresh, err := v.all.BeginNote(ctx, n)
	return v.ownNote(stored), fresh, err
}

func (v *siteView) SaveNote(ctx context.Context, n Note) (Note, error) {
	n.Visitor = v.in(n.Visitor)
	saved, err := v.all.SaveNote(ctx, n)
	return v.ownNote(saved), err
}

func (v *siteView) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	return v.all.Acquire(ctx, v.in(name), owner, ttl)
}

func (v *siteView) Release(ctx context.Context, name, owner string) error {
	return v.all.Release(ctx, v.in(name), owner)
}

func (v *siteView) Take(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	return v.all.Take(ctx, v.in(key), n, limit, window)
}

func (v *siteView) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	return v.all.Look(ctx, v.in(key), n, limit, window)
}

func (v *siteView) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	return v.all.GiveBack(ctx, v.in(key), n, window)
}

func (v *siteView) Shared() bool { return v.all.Shared() }

func (v *siteView) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error) {
	return v.all.Admit(ctx, v.in(visitor), rank, limit, ttl)
}

func (v *siteView) AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) (tickets []int64, err error) {
	named := make([]Awake, len(all))
	for i, a := range all {
		a.Visitor = v.in(a.Visitor)
		named[i] = a
	}
	return v.all.AdmitAll(ctx, named, ttl)
}

func (v *siteView) Leave(ctx context.Context, visitor string, ticket int64) error {
	return v.all.Leave(ctx, v.in(visitor), ticket)
}

func (v *siteView) Idlest(ctx context.Context, below int64, n int) ([]Awake, error) {
	all, err := v.all.Idlest(ctx, below, n)
	for i := range all {
		site, rest := SiteOf(all[i].Visitor)
		if all[i].Foreign = site != strings.TrimSuffix(v.prefix, "/"); !all[i].Foreign {
			all[i].Visitor = rest
		}
	}
	return all, err
}

func (v *siteView) CountAwake(ctx context.Context) (int, error) { return v.all.CountAwake(ctx) }

func (v *siteView) Ping(ctx context.Context) error { return v.all.Ping(ctx) }

func (v *siteView) Close() error { return nil }

func (v *siteView) ForgetEpoch(ctx context.Context, visitor string, epoch int64) error {
	return v.all.ForgetEpoch(ctx, v.in(visitor), epoch)
}

func (v *siteView) ownRecord(r Record) Record {
	r.Kind = strings.TrimPrefix(r.Kind, v.prefix)
	return r
}

func (v *siteView) ownRecords(all []Record, err error) ([]Record, error) {
	for i := range all {
		all[i] = v.ownRecord(all[i])
	}
	return all, err
}

func (v *siteView) Record(ctx context.Context, kind, key string) (Record, error) {
	r, err := v.all.Record(ctx, v.in(kind), key)
	return v.ownRecord(r), err
}

func (v *siteView) SaveRecord(ctx context.Context, r Record) (Record, error) {
	if r.Kind == "" {
		return Record{}, ErrRecord
	}
	r.Kind = v.in(r.Kind)
	saved, err := v.all.SaveRecord(ctx, r)
	return v.ownRecord(saved), err
}

func (v *siteView) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	return v.all.DeleteRecord(ctx, v.in(kind), key, version)
}

func (v *siteView) Records(ctx context.Context, kind, after string, limit int) ([]Record, error) {
	return v.ownRecords(v.all.Records(ctx, v.in(kind), after, limit))
}

func (v *siteView) RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]Record, error) {
	return v.ownRecords(v.all.RecordsOf(ctx, v.in(kind), owner, after, limit))
}

func (v *siteView) RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]Record, error) {
	return v.ownRecords(v.all.RecordsDue(ctx, v.in(kind), until, limit))
}

func (v *siteView) RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]Record, error) {
	return v.ownRecords(v.all.RecordsLatest(ctx, v.in(kind), due, key, limit))
}

func (v *siteView) CountRecords(ctx context.Context, kind string, until time.Time) (int, error) {
	return v.all.CountRecords(ctx, v.in(kind), until)
}

func (v *siteView) RecordsRevision(ctx context.Context, kind string) (int64, error) {
	return v.all.RecordsRevision(ctx, v.in(kind))
}

func (v *siteView) Scrub(ctx context.Context) error { return v.all.Scrub(ctx) }

func (v *siteView) Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error) {
	return v.all.Count(ctx, v.in(key), n, limit, until)
}

func (v *siteView) Generation(ctx context.Context) (int64, error) { return v.all.Generation(ctx) }

func (v *siteView) Changed(ctx context.Context, marks []Mark) ([]int, error) {
	named := make([]Mark, len(marks))
	for i, m := range marks {
		m.Visitor = v.in(m.Visitor)
		tokens := m.Tokens
		m.Tokens = make([]string, len(tokens))
		for j, token := range tokens {
			m.Tokens[j] = v.in(token)
		}
		named[i] = m
	}
	return v.all.Changed(ctx, named)
}
