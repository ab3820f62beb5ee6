package repotest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// patience bounds the start and the stop of a service.
const patience = time.Minute

var httpAddress = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// serveAndStop starts the service on free ports, waits for the address that it prints, sends a request and
// expects exit status 0 after SIGTERM. It returns what the service printed before the address.
func serveAndStop(t *testing.T, dir, binary string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-conf", "./configs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"KM_HTTP_ADDR=127.0.0.1:0", "KM_GRPC_ADDR=127.0.0.1:0",
		"KM_MQTT_ADDR=127.0.0.1:0", "KM_MQTT_BROKER=", // the in-process broker
		"KM_DATABASE_SOURCE="+filepath.Join(t.TempDir(), "service.db"),
		"KM_OUTBOX_PATH="+filepath.Join(t.TempDir(), "outbox.db"),
		"KM_MQTT_PATH="+filepath.Join(t.TempDir(), "broker.journal"),
	)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(patience, cancel)
	url, printed := awaitAddress(stdout)
	stop.Stop()
	if url != "" {
		ask(t, url)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		defer time.AfterFunc(patience, cancel).Stop()
	}
	rest, _ := io.ReadAll(stdout)
	if err := cmd.Wait(); err != nil || url == "" {
		t.Errorf("service: %v, address %q\n%s%s%s", err, url, printed, rest, &stderr)
	}
	return printed
}

// awaitAddress reads until a line contains the HTTP address, or to the end.
func awaitAddress(r io.Reader) (url string, printed []byte) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		printed = append(append(printed, lines.Bytes()...), '\n')
		if url := httpAddress.FindString(lines.Text()); url != "" {
			return url, printed
		}
	}
	return "", printed
}

// ask sends an HTTP request and expects any answer.
func ask(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("no answer at the printed address: %v", err)
		return
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
