package group_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/group"
)

func TestGroup_Close_WaitsForItsMembers(t *testing.T) {
	var g group.Group
	var ended atomic.Int32
	release := make(chan struct{})
	for range 3 {
		if !g.Go(func() { <-release; ended.Add(1) }) {
			t.Fatal("an open group refuses a goroutine")
		}
	}
	if !g.Add() {
		t.Fatal("an open group refuses a member")
	}
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	for g.Add() { // until the group refuses; each is briefly a member
		g.Done()
	}
	select {
	case <-closed:
		t.Fatal("Close returned before its members ended")
	default:
	}
	close(release)
	ended.Add(1)
	g.Done()
	<-closed
	if n := ended.Load(); n != 4 {
		t.Errorf("Close returned when %d members had ended, want 4", n)
	}
}

func TestGroup_Closed_RefusesMembers(t *testing.T) {
	var g group.Group
	g.Close()
	g.Close() // a second time
	if g.Add() {
		t.Error("Add: got true, want false")
	}
	if g.Go(func() { t.Error("it ran") }) {
		t.Error("Go: got true, want false")
	}
}

func TestGroup_ManyJoinWhileItCloses_NoneIsLeftBehind(t *testing.T) {
	for range 200 {
		var g group.Group
		var running atomic.Int32
		var joining sync.WaitGroup
		for range 4 {
			running.Add(1)
			joining.Go(func() {
				if !g.Go(func() { running.Add(-1) }) {
					running.Add(-1)
				}
			})
		}
		g.Close()
		joining.Wait()
		if n := running.Load(); n != 0 {
			t.Fatalf("got %d members after Close, want none", n)
		}
	}
}
