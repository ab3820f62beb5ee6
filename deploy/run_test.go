package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { os.Exit(testdb.Main(m).Run()) }

const patience = time.Minute

// built is the program of make static.
var built = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("make", "-C", "..", "static", "VERSION=test").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make static: %w\n%s", err, out)
	}
	return filepath.Abs("../bin/static/service")
})

func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// pod is a container of a workload that runs on this machine: with the arguments, environment and
// files of the manifest, and what it reaches in the cluster replaced by what the test has.
type pod struct {
	w    *workload
	cmd  *exec.Cmd
	log  *lines
	base string // URL of the port http
}

// lines is what a process prints.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts the container of a pod.
func (c *cluster) start(t *testing.T, w *workload, name string) *pod {
	t.Helper()
	replace := []string{"{hostname}", name} // the hostname of a pod is its name
	p := &pod{w: w, log: new(lines)}
	for _, each := range w.container().Ports {
		address := port.Address(t)
		replace = append(replace, fmt.Sprintf("0.0.0.0:%d", each.ContainerPort), address)
		if each.Name == "http" {
			p.base = "http://" + address
		}
	}
	folders := map[string]string{}
	for _, m := range w.container().VolumeMounts {
		folders[m.Name] = t.TempDir()
		replace = append(replace, m.MountPath, folders[m.Name])
	}
	local := strings.NewReplacer(replace...)
	for _, v := range w.template.Spec.Volumes {
		files, err := c.files(&v)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(folders[v.Name], file), []byte(local.Replace(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var args []string
	for _, a := range w.container().Args {
		args = append(args, local.Replace(a))
	}
	p.cmd = exec.Command(program(t), args...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = []string{} // the image has no environment of its own
	for _, e := range w.container().Env {
		value, err := c.value(&e)
		if err != nil {
			t.Fatal(err)
		}
		p.cmd.Env = append(p.cmd.Env, e.Name+"="+local.Replace(value))
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.log)
		}
	})
	return p
}

// probe waits until a probe of the manifest succeeds.
func (p *pod) probe(t *testing.T, probe *corev1.Probe) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		_, err := get(t.Context(), p.base+probe.HTTPGet.Path)
		return err
	})
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return do(r)
}

func do(r *http.Request) ([]byte, error) {
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", r.URL, reply.Status, b)
	}
	return b, err
}

// stop ends the pod as the kubelet does, and returns how long it took.
func (p *pod) stop(t *testing.T) time.Duration {
	t.Helper()
	grace := *p.w.template.Spec.TerminationGracePeriodSeconds - p.w.container().Lifecycle.PreStop.Sleep.Seconds
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Duration(grace)*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s ended with %v after %v of %d s", p.w.name, err, time.Since(began), grace)
	}
	return time.Since(began)
}

// The program starts with what the manifests give it, is ready, takes a report through broker and
// database, and stops within the grace period.
func TestManifestsRun(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	for i := range all.workloads {
		saver := &all.workloads[i]
		if saver.name != "report-saver" {
			continue
		}
		t.Run(saver.kind, func(t *testing.T) {
			t.Parallel()
			c := manifests(t)
			ca := mqtttest.NewCA(t)
			broker := mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", ca.ServerConfig(false)))
			c.config.Data["KM_MQTT_BROKER"] = broker.TLSURL()
			c.secret.StringData["KM_DATABASE_SOURCE"] = testdb.DSN(t)
			authority, err := os.ReadFile(ca.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			c.secret.StringData["ca.crt"] = string(authority)
			s := c.start(t, saver, "report-saver-0")
			s.probe(t, s.w.container().StartupProbe)
			s.probe(t, s.w.container().ReadinessProbe) // its subscriptions are granted
			var collector *pod
			for i := range c.workloads {
				if w := &c.workloads[i]; w.name == "report-collector" {
					collector = c.start(t, w, "report-collector-0")
				}
			}
			collector.probe(t, collector.w.container().ReadinessProbe)
			ids := map[string]bool{}
			for _, session := range broker.Sessions() {
				ids[session.ClientID] = true
			}
			if own := "report-collector-0-pub"; !ids[own] || ids["report-saver-0"] != (saver.kind == "StatefulSet") {
				t.Errorf("sessions of %v", ids)
			}
			post(t, collector.base)
			mqtttest.Eventually(t, patience, func() error {
				b, err := get(t.Context(), s.base+"/v1/reports")
				if err == nil && !strings.Contains(string(b), "deployed") {
					err = fmt.Errorf("the saver has %s", b)
				}
				return err
			})
			t.Logf("figure: the collector stopped within %v, the saver within %v", collector.stop(t), s.stop(t))
		})
	}
}

func post(t *testing.T, base string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"report_type": "event", "app_id": "a", "app_key": "k", "event_name": "deployed", "content": `{"from":"test"}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/reports", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if reply, err := do(r); err != nil {
		t.Fatalf("%s: %v", reply, err)
	}
}
