package redis_test

import (
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store/redis"
)

func TestOpen_InvalidURL_HidesPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://u:afm_secret@%zz", "redis://u:afm_secret@host:port", "redis://u:afm_secret@host/x", "redis://u:afm_secret@host?nonsense=1",
		"rediss://u:afm_secret@host?addr=host", "redis://u:afm_secret@host?addr=host:1&read_only=true",
		"redis://u:afm_secret@host?master_name=m&replica_only=true", "redis://u:afm_secret@host?master_name=m&db=x",
		"redis://u:afm_secret@host?master_name=", "redis://u:afm_secret@host/3?addr=host:1", "redis:u:afm_secret@host:6379",
		"redis://u:afm_secret@host?addr=host", "redis://u:afm_secret@host?mastername=m", "redis://u:afm_secret@host/0/1?master_name=m",
	} {
		err := redis.Valid(url, "p:")
		if err == nil || strings.Contains(err.Error(), "afm_secret") {
			t.Errorf("%s: got error %v, want one without the password", url, err)
		}
		if _, err := redis.Open(t.Context(), url, "p:"); err == nil || strings.Contains(err.Error(), "afm_secret") {
			t.Errorf("%s: got error %v opening it, want one without the password", url, err)
		}
	}
	for _, url := range []string{
		"redis://host", "rediss://user:password@host:6380/2", "redis://host:1?addr=host:2&addr=host:3", "redis://host:1/0?addr=host:1", "rediss://host?master_name=m&addr=b:26379",
	} {
		if err := redis.Valid(url, "p:"); err != nil {
			t.Errorf("%s: got error %v, want none", url, err)
		}
	}
	if err := redis.Valid("redis://host", "a{b}"); err == nil {
		t.Error("got no error for a prefix with braces, want one")
	}
}
