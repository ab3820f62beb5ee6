package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// stopSeconds is how long the service takes to stop at most: its servers 20 s, its publisher 10 s,
// the last spans 5 s. See cmd/server/app.go.
const stopSeconds = 35

// workload is a StatefulSet or a Deployment.
type workload struct {
	file, kind, name string
	selector         *metav1.LabelSelector
	template         corev1.PodTemplateSpec
	claims           []corev1.PersistentVolumeClaim
	service          string // of a StatefulSet
}

func (w *workload) container() *corev1.Container { return &w.template.Spec.Containers[0] }

// cluster is everything that the manifests make.
type cluster struct {
	workloads []workload
	services  []*corev1.Service
	budgets   []*policyv1.PodDisruptionBudget
	config    *corev1.ConfigMap
	secret    *corev1.Secret
}

// manifests decodes all files of the folder kubernetes: an unknown or repeated field is an error.
func manifests(t *testing.T) (c cluster) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		for _, document := range documents(t, file) {
			o, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			c.add(t, file, o)
		}
	}
	return c
}

func (c *cluster) add(t *testing.T, file string, o runtime.Object) {
	t.Helper()
	switch o := o.(type) {
	case *appsv1.StatefulSet:
		c.workloads = append(c.workloads, workload{file, "StatefulSet", o.Name, o.Spec.Selector, o.Spec.Template, o.Spec.VolumeClaimTemplates, o.Spec.ServiceName})
	case *appsv1.Deployment:
		c.workloads = append(c.workloads, workload{file, "Deployment", o.Name, o.Spec.Selector, o.Spec.Template, nil, ""})
	case *corev1.Service:
		c.services = append(c.services, o)
	case *policyv1.PodDisruptionBudget:
		c.budgets = append(c.budgets, o)
	case *corev1.ConfigMap:
		c.config = o
	case *corev1.Secret:
		c.secret = o
	default:
		t.Fatalf("%s has a %T, which no test checks", file, o)
	}
}

// documents returns the YAML documents of a file.
func documents(t *testing.T, file string) (all [][]byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(b)))
	for {
		document, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			all = append(all, document)
		}
	}
}

// The parts of the manifests belong together: names, keys, ports and labels.
func TestManifests(t *testing.T) {
	t.Parallel()
	c := manifests(t)
	if len(c.workloads) != 3 || c.config == nil || c.secret == nil {
		t.Fatalf("%d workloads, ConfigMap %v, Secret %v", len(c.workloads), c.config != nil, c.secret != nil)
	}
	for i := range c.workloads {
		w := &c.workloads[i]
		t.Run(w.file, func(t *testing.T) {
			t.Parallel()
			c.checkNames(t, w)
			c.checkSources(t, w)
			checkMounts(t, w)
			checkStop(t, w)
			checkProbes(t, w)
			checkSecurity(t, w)
			checkResources(t, w)
		})
	}
}

func (c *cluster) checkNames(t *testing.T, w *workload) {
	t.Helper()
	labels := w.template.Labels
	selects := func(what string, selector map[string]string) bool {
		for k, v := range selector {
			if labels[k] != v {
				return false
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s selects everything", what)
		}
		return true
	}
	if errs := validation.IsDNS1123Label(w.name); errs != nil {
		t.Errorf("the name of %s: %v", w.name, errs)
	}
	if !selects(w.name, w.selector.MatchLabels) {
		t.Errorf("%s selects %v, and its pods have %v", w.name, w.selector.MatchLabels, labels)
	}
	var services, headless, budgets int
	for _, s := range c.services {
		if !selects(s.Name, s.Spec.Selector) {
			continue
		}
		services++
		if s.Spec.ClusterIP == corev1.ClusterIPNone && s.Name == w.service {
			headless++
		}
		for _, p := range s.Spec.Ports {
			if _, ok := portOf(w.container(), p.TargetPort); !ok {
				t.Errorf("Service %s: port %s goes to %s, which the container does not have", s.Name, p.Name, p.TargetPort.String())
			}
		}
	}
	for _, b := range c.budgets {
		if selects(b.Name, b.Spec.Selector.MatchLabels) {
			budgets++
		}
	}
	if services == 0 || budgets == 0 || w.kind == "StatefulSet" && headless == 0 {
		t.Errorf("%s: %d Services, %d of them headless, %d PodDisruptionBudgets", w.name, services, headless, budgets)
	}
}

func portOf(c *corev1.Container, port intstr.IntOrString) (int32, bool) {
	for _, p := range c.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

// checkSources checks that each variable and file has a value in the ConfigMap or the Secret.
func (c *cluster) checkSources(t *testing.T, w *workload) {
	t.Helper()
	for _, e := range w.container().Env {
		if _, err := c.value(&e); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
	for _, v := range w.template.Spec.Volumes {
		if _, err := c.files(&v); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

// value returns the value of a variable.
func (c *cluster) value(e *corev1.EnvVar) (string, error) {
	if e.ValueFrom == nil {
		return e.Value, nil
	}
	var v string
	var ok bool
	switch from := e.ValueFrom; {
	case from.ConfigMapKeyRef != nil && from.ConfigMapKeyRef.Name == c.config.Name:
		v, ok = c.config.Data[from.ConfigMapKeyRef.Key]
	case from.SecretKeyRef != nil && from.SecretKeyRef.Name == c.secret.Name:
		v, ok = c.secret.StringData[from.SecretKeyRef.Key]
	}
	if !ok {
		return "", fmt.Errorf("nothing has the value of %s", e.Name)
	}
	return v, nil
}

// files returns the files of a volume.
func (c *cluster) files(v *corev1.Volume) (map[string]string, error) {
	var items []corev1.KeyToPath
	var from map[string]string
	switch {
	case v.ConfigMap != nil && v.ConfigMap.Name == c.config.Name:
		items, from = v.ConfigMap.Items, c.config.Data
	case v.Secret != nil && v.Secret.SecretName == c.secret.Name:
		items, from = v.Secret.Items, c.secret.StringData
	default:
		return nil, fmt.Errorf("nothing has the files of the volume %s", v.Name)
	}
	files := map[string]string{}
	for _, i := range items {
		text, ok := from[i.Key]
		if !ok {
			return nil, fmt.Errorf("nothing has the key %s of the volume %s", i.Key, v.Name)
		}
		files[i.Path] = text
	}
	return files, nil
}

func checkMounts(t *testing.T, w *workload) {
	t.Helper()
	var have []string
	for _, v := range w.template.Spec.Volumes {
		have = append(have, v.Name)
	}
	for _, v := range w.claims {
		have = append(have, v.Name)
	}
	for _, m := range w.container().VolumeMounts {
		if !slices.Contains(have, m.Name) {
			t.Errorf("%s mounts %s, and has %v", w.name, m.Name, have)
		}
		have = slices.DeleteFunc(have, func(name string) bool { return name == m.Name })
	}
	if len(have) > 0 {
		t.Errorf("%s does not mount %v", w.name, have)
	}
}

// checkStop checks that a pod is not killed while the service stops.
func checkStop(t *testing.T, w *workload) {
	t.Helper()
	before, all := int64(0), *w.template.Spec.TerminationGracePeriodSeconds
	if l := w.container().Lifecycle; l == nil || l.PreStop == nil || l.PreStop.Sleep == nil {
		t.Errorf("%s: preStop does not sleep until load balancers have heard of the end", w.name)
	} else {
		before = l.PreStop.Sleep.Seconds
	}
	if all < before+stopSeconds {
		t.Errorf("%s: a grace period of %d s, want %d s before the stop and %d s for it", w.name, all, before, stopSeconds)
	}
}

func checkProbes(t *testing.T, w *workload) {
	t.Helper()
	c := w.container()
	for path, probes := range map[string][]*corev1.Probe{"/healthz": {c.StartupProbe, c.LivenessProbe}, "/readyz": {c.ReadinessProbe}} {
		for _, p := range probes {
			if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path {
				t.Errorf("%s: a probe is not of %s: %v", w.name, path, p)
				continue
			}
			if _, ok := portOf(c, p.HTTPGet.Port); !ok {
				t.Errorf("%s: the port of a probe is %v, which the container does not have", w.name, p.HTTPGet.Port)
			}
		}
	}
}

func checkSecurity(t *testing.T, w *workload) {
	t.Helper()
	pod, c := w.template.Spec.SecurityContext, w.container().SecurityContext
	user := imageUser(t)
	for what, ok := range map[string]bool{
		"runs as root":                     *pod.RunAsNonRoot,
		"has not the user of the image":    fmt.Sprint(*pod.RunAsUser, ":", *pod.RunAsGroup) == user,
		"has no seccomp profile":           pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"may gain privileges":              !*c.AllowPrivilegeEscalation,
		"can write to its root":            *c.ReadOnlyRootFilesystem,
		"has capabilities":                 len(c.Capabilities.Drop) == 1 && c.Capabilities.Drop[0] == "ALL" && len(c.Capabilities.Add) == 0,
		"has a token of the cluster's API": !*w.template.Spec.AutomountServiceAccountToken,
	} {
		if !ok {
			t.Errorf("%s %s", w.name, what)
		}
	}
}

func checkResources(t *testing.T, w *workload) {
	t.Helper()
	r := w.container().Resources
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q := r.Requests[name]; q.Sign() <= 0 {
			t.Errorf("%s requests no %s", w.name, name)
		}
	}
	const softLimit = 512 << 20 // collectFrom of cmd/server
	if limit := r.Limits.Memory().Value(); limit < softLimit*5/4 {
		t.Errorf("%s: a memory limit of %d bytes, want at least a quarter more than %d", w.name, limit, softLimit)
	}
}

// The kustomization names files that exist, and the image that they have.
func TestKustomization(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("kubernetes/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k struct {
		metav1.TypeMeta `json:",inline"`

		Resources []string `json:"resources"`
		Images    []struct {
			Name   string `json:"name"`
			NewTag string `json:"newTag"`
		} `json:"images"`
	}
	if err := strict.UnmarshalStrict(b, &k); err != nil {
		t.Fatal(err)
	}
	if k.APIVersion != "kustomize.config.k8s.io/v1beta1" || k.Kind != "Kustomization" || len(k.Images) != 1 {
		t.Fatalf("%+v", k)
	}
	c := manifests(t)
	for _, file := range k.Resources {
		if _, err := os.Stat(filepath.Join("kubernetes", file)); err != nil {
			t.Error(err)
		}
	}
	for i := range c.workloads {
		if image, _, _ := strings.Cut(c.workloads[i].container().Image, ":"); image != k.Images[0].Name {
			t.Errorf("%s has the image %s, and the kustomization tags %s", c.workloads[i].file, image, k.Images[0].Name)
		}
	}
}
