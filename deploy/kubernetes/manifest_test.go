package kubernetes_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode decodes one document like client-go's strict decoder.
func decode(document []byte, into any) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}

// TestManifest_EachDocument_DecodesStrictly fails for a member that is unknown, duplicate,
// misplaced or of the wrong type. kubectl apply refuses those too, but the server of an
// older Kubernetes drops them.
func TestManifest_EachDocument_DecodesStrictly(t *testing.T) {
	types := map[metav1.TypeMeta]func() metav1.Object{
		{APIVersion: "v1", Kind: "ConfigMap"}:                       func() metav1.Object { return new(corev1.ConfigMap) },
		{APIVersion: "v1", Kind: "Service"}:                         func() metav1.Object { return new(corev1.Service) },
		{APIVersion: "apps/v1", Kind: "Deployment"}:                 func() metav1.Object { return new(appsv1.Deployment) },
		{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}: func() metav1.Object { return new(networkingv1.NetworkPolicy) },
		{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:      func() metav1.Object { return new(policyv1.PodDisruptionBudget) },
	}
	text, err := os.ReadFile("../kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		typed := types[kind]
		if typed == nil {
			t.Errorf("%s %s is of no type that this test knows", kind.APIVersion, kind.Kind)
			continue
		}
		into := typed()
		if err := decode(document, into); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		if _, err := meta.Accessor(into); err != nil || into.GetName() == "" {
			t.Errorf("%s: got no name, %v", kind.Kind, err)
		}
		kinds = append(kinds, kind.Kind)
	}
	if want := []string{"ConfigMap", "Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"}; !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
}

func TestManifest_Mistakes_Found(t *testing.T) {
	for name, text := range map[string]string{
		"unknown":       "spec: {replica: 3}",
		"another case":  "spec: {Replicas: 3}",
		"twice":         "spec: {replicas: 3, replicas: 4}",
		"another place": "spec: {containers: []}",
		"another type":  "spec: {replicas: three}",
	} {
		if err := decode([]byte(text), new(appsv1.Deployment)); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
