package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestNotices_Committed_AreThoseOfWhatIsLinked(t *testing.T) {
	t.Parallel()
	want, err := notices(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../" + noticesFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is linked; run go run ./tools/release notices", noticesFile)
	}
}

func TestNotices_EachLicence_IsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../" + noticesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nmodernc.org/sqlite\n", "\ngithub.com/redis/go-redis/v9\n", "\nGo, its runtime and standard library\n", "\ngoogle.golang.org/grpc\n",
		"Apache License", "Permission is hereby granted", "Redistribution and use in source and binary forms",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q", noticesFile, want)
		}
	}
}

func TestNotices_ModuleWithoutLicence_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/license.go", []byte("package x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := licencesIn(dir); err != nil || len(found) != 0 {
		t.Errorf("got %q, %v, want no licence in source code", found, err)
	}
}
