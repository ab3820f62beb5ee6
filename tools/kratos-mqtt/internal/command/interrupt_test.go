package command_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/command"
)

// An interrupt is named as such, with the exit code for what is not known or not reached, and is no
// error of a command that goes on until it is interrupted.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	service, url := silent.Addr().String(), mqtttest.InProcess(t).URL()
	for line, want := range map[string]string{
		"check -o http://" + service:                "3 interrupted",
		"status -o http://" + service:               "1 interrupted",
		"letters list -o http://" + service:         "1 interrupted",
		"tail # -b mqtt://" + service:               "1 interrupted",
		"tail nothing --count 2 -b " + url:          "1 0 of 2 messages before the interrupt",
		"tail # -b " + url:                          "",
		"publish -n 9999 --rate 1 -t a x -b " + url: "1 interrupted",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer time.AfterFunc(300*time.Millisecond, interrupt).Stop()
			root := command.New(command.Terminal{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }})
			root.SetArgs(strings.Fields(line))
			err, got := root.ExecuteContext(ctx), ""
			if exit := new(command.ExitError); errors.As(err, &exit) {
				got = fmt.Sprint(exit.Code, " ", exit.Err)
			} else if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// A command that publishes ends after an interrupt, and at its time, although its broker is gone.
func TestEndsWithoutBroker(t *testing.T) {
	t.Parallel()
	others := regexp.MustCompile(`  (devices|bench|a)/`)
	for name, args := range map[string][]string{
		"simulate":          {"simulate", "RecordTelemetry", "-d", api, "--rate", "200"},
		"simulate for 2 s":  {"simulate", "RecordTelemetry", "-d", api, "--rate", "200", "--duration", "2s"},
		"bench":             {"bench", "--rate", "200", "--duration", "1h"},
		"bench for 2 s":     {"bench", "--rate", "200", "--duration", "2s"},
		"tail":              {"tail", "#"},
		"publish at a rate": {"publish", "-t", "a/b", "--lines", "--rate", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reads := name == "tail"
			b := mqtttest.Mosquitto(t)
			seen := tail(t, b.URL(), "#")
			p := begin(t, strings.Repeat("{}\n", 10_000), append(args, "-b", b.URL())...)
			if reads {
				subscribed(t, p, b.URL())
			} else {
				mqtttest.Eventually(t, patience, func() bool { return others.MatchString(seen.Out.String()) })
			}
			b.Stop()
			if !strings.Contains(name, " for ") {
				p.end()
			}
			_ = p.wait(t)
		})
	}
}

// outbox drain ends at its time although the service does not answer any more.
func TestDrainEndsWithoutService(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	begun := time.Now()
	err := begin(t, "", "outbox", "drain", "--timeout", "100ms", "-o", server.URL).wait(t)
	if err == nil || !strings.Contains(err.Error(), "no reply from "+server.URL+" in time") || time.Since(begun) > 25*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}
