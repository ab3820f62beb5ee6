package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/contender"
)

// idleConnections is the number of connections over which the memory of one is averaged.
const idleConnections = 200

// Must and aim for one idle connection, in KiB.
const (
	idleMust = 64
	idleAim  = 40
)

// idleKinds opens a connection of each kind.
var idleKinds = map[string]func(contender.Target) error{
	"publisher": func(t contender.Target) error {
		_, err := contender.Native(t)
		return err
	},
	"publisher-used": func(t contender.Target) error {
		p, err := contender.Native(t)
		if err != nil {
			return err
		}
		w := newWork(false)
		for range 4 * contender.Window {
			if err := p.Wait(w); err != nil {
				return err
			}
		}
		return nil
	},
	"engine-subscriber": func(t contender.Target) error {
		_, err := contender.EngineSubscriber(t, &contender.Subscription{Filter: "idle/+", QoS: 1, Handle: func([]byte) {}})
		return err
	},
	"server": func(t contender.Target) error {
		_, err := contender.NativeSubscriber(t, &contender.Subscription{Filter: "idle/+", QoS: 1, Handle: func([]byte) {}})
		return err
	},
	"paho": func(t contender.Target) error {
		_, err := contender.Paho(t)
		return err
	},
}

// serveIdle opens connections in a process of its own, whose stacks are otherwise unused,
// and prints the memory of one in KiB.
func serveIdle(kind, host string, version byte) error {
	open, ok := idleKinds[kind]
	if !ok {
		return fmt.Errorf("no idle connection of kind %q", kind)
	}
	t := contender.Target{Host: host, Version: version}
	if err := open(t); err != nil { // excludes what the first connection allocates for all
		return err
	}
	before := inUse()
	for range idleConnections {
		if err := open(t); err != nil {
			return err
		}
	}
	fmt.Println(float64(inUse()-before) / idleConnections / 1024)
	return nil
}

func inUse() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idle measures the memory of idle connections.
func idle(w io.Writer, e *env) (below []string, err error) {
	for _, k := range []struct {
		kind    string
		version byte
		goal    bool
	}{
		{"publisher", 4, true},
		{"publisher", 5, true},
		{"engine-subscriber", 4, true},
		{"engine-subscriber", 5, true},
		{"publisher-used", 4, false},
		{"server", 4, false},
		{"paho", 4, false},
	} {
		n, err := idleProcess(k.kind, e.plain.Host, k.version)
		if err != nil {
			return below, err
		}
		line := fmt.Sprintf("memory idle-%s-mqtt%d %.1f KiB", k.kind, k.version, n)
		if k.goal {
			line += bounds(idleMust, idleAim)
			if missed(n, idleMust, true) {
				below = append(below, line)
			}
		}
		fmt.Fprintln(w, line)
	}
	return below, nil
}

func idleProcess(kind, host string, version byte) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, "-role", roleIdle, "-kind", kind, "-host", host, "-version", strconv.Itoa(int(version)))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("idle %s: %w", kind, err)
	}
	return strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
}
