package store

import (
	"context"
	"time"
)

// Observe wraps s and calls did after every call that takes a context, with its
// name, duration and error. The result implements nothing beyond [Store].
func Observe(s Store, did func(op string, took time.Duration, err error)) Store {
	return &observed{s, did}
}

type observed struct {
	Store
	did func(op string, took time.Duration, err error)
}

func (o *observed) end(op string, start time.Time, err *error) { o.did(op, time.Since(start), *err) }

// FindCtx implements [Store], as do the methods below.
func (o *observed) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	defer o.end("find_token", time.Now(), &err)
	return o.Store.FindCtx(ctx, token)
}

func (o *observed) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error) {
	defer o.end("commit_token", time.Now(), &err)
	return o.Store.CommitCtx(ctx, token, b, expiry)
}

func (o *observed) DeleteCtx(ctx context.Context, token string) (err error) {
	defer o.end("delete_token", time.Now(), &err)
	return o.Store.DeleteCtx(ctx, token)
}

func (o *observed) Session(ctx context.Context, visitor string) (_ Session, err error) {
	defer o.end("session", time.Now(), &err)
	return o.Store.Session(ctx, visitor)
}

func (o *observed) SaveSession(ctx context.Context, s Session) (_ Session, err error) {
	defer o.end("save_session", time.Now(), &err)
	return o.Store.SaveSession(ctx, s)
}

func (o *observed) BeginNote(ctx context.Context, n Note) (_ Note, fresh bool, err error) {
	defer o.end("begin_note", time.Now(), &err)
	return o.Store.BeginNote(ctx, n)
}

func (o *observed) SaveNote(ctx context.Context, n Note) (_ Note, err error) {
	defer o.end("save_note", time.Now(), &err)
	return o.Store.SaveNote(ctx, n)
}

func (o *observed) Note(ctx context.Context, visitor, kind, key string) (_ Note, err error) {
	defer o.end("note", time.Now(), &err)
	return o.Store.Note(ctx, visitor, kind, key)
}

func (o *observed) Notes(ctx context.Context, visitor, kind string, epoch int64) (_ []Note, err error) {
	defer o.end("notes", time.Now(), &err)
	return o.Store.Notes(ctx, visitor, kind, epoch)
}

func (o *observed) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) (_ []Note, cursor int64, err error) {
	defer o.end("notes_since", time.Now(), &err)
	return o.Store.NotesSince(ctx, visitor, kind, epoch, since)
}

func (o *observed) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) (_ []Note, cursor int64, err error) {
	defer o.end("notes_at", time.Now(), &err)
	return o.Store.NotesAt(ctx, visitor, kind, epoch, from, to, limit)
}

func (o *observed) Forget(ctx context.Context, visitor string) (err error) {
	defer o.end("forget", time.Now(), &err)
	return o.Store.Forget(ctx, visitor)
}

func (o *observed) ForgetEpoch(ctx context.Context, visitor string, epoch int64) (err error) {
	defer o.end("forget_epoch", time.Now(), &err)
	return o.Store.ForgetEpoch(ctx, visitor, epoch)
}

func (o *observed) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	defer o.end("acquire", time.Now(), &err)
	return o.Store.Acquire(ctx, name, owner, ttl)
}

func (o *observed) Release(ctx context.Context, name, owner string) (err error) {
	defer o.end("release", time.Now(), &err)
	return o.Store.Release(ctx, name, owner)
}

func (o *observed) Take(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error) {
	defer o.end("take", time.Now(), &err)
	return o.Store.Take(ctx, key, n, limit, window)
}

func (o *observed) Look(ctx context.Context, key string, n, limit int, window time.Duration) (wait time.Duration, err error) {
	defer o.end("look", time.Now(), &err)
	return o.Store.Look(ctx, key, n, limit, window)
}

func (o *observed) GiveBack(ctx context.Context, key string, n int, window time.Duration) (err error) {
	defer o.end("give_back", time.Now(), &err)
	return o.Store.GiveBack(ctx, key, n, window)
}

func (o *observed) Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error) {
	defer o.end("count", time.Now(), &err)
	return o.Store.Count(ctx, key, n, limit, until)
}

func (o *observed) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error) {
	defer o.end("admit", time.Now(), &err)
	return o.Store.Admit(ctx, visitor, rank, limit, ttl)
}

func (o *observed) AdmitAll(ctx context.Context, all []Awake, ttl time.Duration) (tickets []int64, err error) {
	defer o.end("admit_all", time.Now(), &err)
	return o.Store.AdmitAll(ctx, all, ttl)
}

func (o *observed) Leave(ctx context.Context, visitor string, ticket int64) (err error) {
	defer o.end("leave", time.Now(), &err)
	return o.Store.Leave(ctx, visitor, ticket)
}

func (o *observed) Idlest(ctx context.Context, below int64, n int) (_ []Awake, err error) {
	defer o.end("idlest", time.Now(), &err)
	return o.Store.Idlest(ctx, below, n)
}

func (o *observed) CountAwake(ctx context.Context) (n int, err error) {
	defer o.end("count_awake", time.Now(), &err)
	return o.Store.CountAwake(ctx)
}

func (o *observed) Generation(ctx context.Context) (n int64, err error) {
	defer o.end("generation", time.Now(), &err)
	return o.Store.Generation(ctx)
}

func (o *observed) Changed(ctx context.Context, marks []Mark) (_ []int, err error) {
	defer o.end("changed", time.Now(), &err)
	return o.Store.Changed(ctx, marks)
}

func (o *observed) Ping(ctx context.Context) (err error) {
	defer o.end("ping", time.Now(), &err)
	return o.Store.Ping(ctx)
}

func (o *observed) Scrub(ctx context.Context) (err error) {
	defer o.end("scrub", time.Now(), &err)
	return o.Store.Scrub(ctx)
}

func (o *observed) Record(ctx context.Context, kind, key string) (_ Record, err error) {
	defer o.end("record", time.Now(), &err)
	return o.Store.Record(ctx, kind, key)
}

func (o *observed) SaveRecord(ctx context.Context, r Record) (_ Record, err error) {
	defer o.end("save_record", time.Now(), &err)
	return o.Store.SaveRecord(ctx, r)
}

func (o *observed) DeleteRecord(ctx context.Context, kind, key string, version int64) (err error) {
	defer o.end("delete_record", time.Now(), &err)
	return o.Store.DeleteRecord(ctx, kind, key, version)
}

func (o *observed) Records(ctx context.Context, kind, after string, limit int) (_ []Record, err error) {
	defer o.end("records", time.Now(), &err)
	return o.Store.Records(ctx, kind, after, limit)
}

func (o *observed) RecordsOf(ctx context.Context, kind, owner, after string, limit int) (_ []Record, err error) {
	defer o.end("records_of", time.Now(), &err)
	return o.Store.RecordsOf(ctx, kind, owner, after, limit)
}

func (o *observed) RecordsDue(ctx context.Context, kind string, until time.Time, limit int) (_ []Record, err error) {
	defer o.end("records_due", time.Now(), &err)
	return o.Store.RecordsDue(ctx, kind, until, limit)
}

func (o *observed) RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) (_ []Record, err error) {
	defer o.end("records_latest", time.Now(), &err)
	return o.Store.RecordsLatest(ctx, kind, due, key, limit)
}

func (o *observed) CountRecords(ctx context.Context, kind string, until time.Time) (n int, err error) {
	defer o.end("count_records", time.Now(), &err)
	return o.Store.CountRecords(ctx, kind, until)
}

func (o *observed) RecordsRevision(ctx context.Context, kind string) (n int64, err error) {
	defer o.end("records_revision", time.Now(), &err)
	return o.Store.RecordsRevision(ctx, kind)
}
