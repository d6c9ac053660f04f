package check

import (
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// containers are those of a rendering by their names.
func containers(t *testing.T, manifests string) map[string]core.Container {
	t.Helper()
	all := map[string]core.Container{}
	for name, pod := range pods(t, manifests) {
		for _, c := range pod.Containers {
			if _, twice := all[c.Name]; twice {
				t.Errorf("%s has a second container %s", name, c.Name)
			}
			all[c.Name] = c
		}
	}
	return all
}

// pods are the templates of a rendering's workloads.
func pods(t *testing.T, manifests string) map[string]core.PodSpec {
	t.Helper()
	all := map[string]core.PodSpec{}
	for _, o := range objects(t, manifests) {
		spec, ok, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		var pod core.PodSpec
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &pod); err != nil {
			t.Fatal(err)
		}
		all[o.GetName()] = pod
	}
	return all
}
