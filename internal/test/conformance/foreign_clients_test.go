package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// plan describes what a foreign client has to do.
type plan struct {
	Host           string    `json:"host"`
	Port           int       `json:"port"`
	Version        byte      `json:"version"` // 4 or 5
	ID             string    `json:"id"`
	Clean          bool      `json:"clean"`
	SessionExpiry  uint32    `json:"sessionExpiry"`  // MQTT 5
	ReceiveMaximum uint16    `json:"receiveMaximum"` // MQTT 5
	Subscribe      []request `json:"subscribe"`
	Publish        []post    `json:"publish"` // after it has subscribed
	Will           *post     `json:"will"`
	Stay           bool      `json:"stay"` // stay connected until the test ends the client
}

type request struct {
	Filter string `json:"filter"`
	QoS    byte   `json:"qos"`
}

// post is a message to publish. The fields after Retain are for MQTT 5.
type post struct {
	Topic         string `json:"topic"`
	Payload       string `json:"payload"`
	QoS           byte   `json:"qos"`
	Retain        bool   `json:"retain"`
	User          string `json:"user"` // value of the user property "k"
	ContentType   string `json:"contentType"`
	ResponseTopic string `json:"responseTopic"`
	Correlation   string `json:"correlation"`
	Alias         uint16 `json:"alias"`
	AliasAlone    bool   `json:"aliasAlone"` // the alias is sent without a topic
}

// arrival is a received message as a client reports it.
type arrival struct {
	Topic       string `json:"topic"`
	Payload     string `json:"payload"`
	QoS         byte   `json:"qos"`
	Retain      bool   `json:"retain"`
	User        string `json:"user"`
	ContentType string `json:"contentType"`
	Correlation string `json:"correlation"`
}

// foreign is a client of another project.
type foreign struct {
	name string
	// missing returns the name of a program or library that is not installed, or "".
	missing func() string
	// receive and send create the commands that carry out a plan. The commands of send
	// run one after another.
	receive func(plan) *exec.Cmd
	send    func(*testing.T, plan) []*exec.Cmd
	// parse reads a line of the output of receive.
	parse func(line []byte) (arrival, error)
	// simple clients keep no session, support only user properties, and print only
	// payloads.
	simple bool
}

func foreignClients() []foreign {
	script := func(name, needs string, interpreter func() []string, file string) foreign {
		run := func(p plan) *exec.Cmd {
			command := append(interpreter(), filepath.Join("testdata", file))
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "NODE_PATH="+npmModules)
			input, _ := json.Marshal(p)
			cmd.Stdin = bytes.NewReader(input)
			return cmd
		}
		return foreign{
			name: name,
			missing: func() string {
				if interpreter() == nil {
					return needs
				}
				return ""
			},
			receive: run,
			send:    func(_ *testing.T, p plan) []*exec.Cmd { return []*exec.Cmd{run(p)} },
			parse:   func(line []byte) (a arrival, err error) { return a, json.Unmarshal(line, &a) },
		}
	}
	return []foreign{
		script("MQTT.js", "Node.js with MQTT.js: make npm", node, "client.js"),
		script("PahoPython", "paho for Python: Debian's python3-paho-mqtt", python, "client.py"),
		mosquittoClients(),
		pahoC(),
	}
}

var npmModules = filepath.Join("..", "..", "..", ".tools", "npm", "node_modules")

func node() []string {
	path, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(npmModules, "mqtt")); err != nil || missing != nil {
		return nil
	}
	return []string{path}
}

// python returns the command of an interpreter that has paho. It need not be the first
// one in PATH.
var python = sync.OnceValue(func() []string {
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(path, "-c", "import paho.mqtt.client").Run() == nil {
			return []string{path}
		}
	}
	return nil
})

func programs(needs string, names ...string) func() string {
	return func() string {
		for _, name := range names {
			if _, err := exec.LookPath(name); err != nil {
				return needs
			}
		}
		return ""
	}
}

// mosquittoClients are the client programs of Mosquitto.
func mosquittoClients() foreign {
	common := func(program string, p plan) *exec.Cmd {
		cmd := exec.Command(program, "-h", p.Host, "-p", strconv.Itoa(p.Port), "-i", p.ID,
			"-V", map[byte]string{4: "mqttv311", 5: "mqttv5"}[p.Version])
		if w := p.Will; w != nil {
			cmd.Args = append(cmd.Args, "--will-topic", w.Topic, "--will-payload", w.Payload, "--will-qos", fmt.Sprint(w.QoS))
		}
		return cmd
	}
	return foreign{
		name:    "Mosquitto",
		missing: programs("Mosquitto's clients: Debian's mosquitto-clients", "mosquitto_pub", "mosquitto_sub", "mosquitto_rr"),
		receive: func(p plan) *exec.Cmd {
			if len(p.Publish) > 0 { // a request
				m := p.Publish[0]
				cmd := common("mosquitto_rr", p)
				cmd.Args = append(cmd.Args, "-F", "%j", "-t", m.Topic, "-m", m.Payload, "-e", m.ResponseTopic, "-q", fmt.Sprint(m.QoS),
					"-D", "publish", "correlation-data", m.Correlation)
				return cmd
			}
			cmd := common("mosquitto_sub", p)
			cmd.Args = append(cmd.Args, "-F", "%j", "-q", fmt.Sprint(p.Subscribe[0].QoS))
			for _, s := range p.Subscribe {
				cmd.Args = append(cmd.Args, "-t", s.Filter)
			}
			if !p.Clean {
				cmd.Args = append(cmd.Args, "-c")
			}
			if p.SessionExpiry > 0 {
				cmd.Args = append(cmd.Args, "-x", fmt.Sprint(p.SessionExpiry))
			}
			if p.ReceiveMaximum > 0 {
				cmd.Args = append(cmd.Args, "-D", "connect", "receive-maximum", fmt.Sprint(p.ReceiveMaximum))
			}
			return cmd
		},
		send: func(_ *testing.T, p plan) (all []*exec.Cmd) {
			for i := 0; i < len(p.Publish); i++ {
				m := p.Publish[i]
				cmd := common("mosquitto_pub", p)
				cmd.Args = append(cmd.Args, "-t", m.Topic, "-q", fmt.Sprint(m.QoS))
				if m.Retain {
					cmd.Args = append(cmd.Args, "-r")
				}
				for name, value := range map[string]string{"user-property\x00k": m.User, "content-type": m.ContentType} {
					if value != "" {
						cmd.Args = append(append(cmd.Args, "-D", "publish"), append(strings.Split(name, "\x00"), value)...)
					}
				}
				switch {
				case m.Alias > 0: // all messages are on one topic, the later ones by its alias alone
					cmd.Args = append(cmd.Args, "-D", "publish", "topic-alias", fmt.Sprint(m.Alias), "-l")
					var lines strings.Builder
					for ; i < len(p.Publish); i++ {
						fmt.Fprintln(&lines, p.Publish[i].Payload)
					}
					cmd.Stdin = strings.NewReader(lines.String())
				case m.Payload == "":
					cmd.Args = append(cmd.Args, "-n")
				default:
					cmd.Args = append(cmd.Args, "-s")
					cmd.Stdin = strings.NewReader(m.Payload)
				}
				all = append(all, cmd)
			}
			return all
		},
		parse: func(line []byte) (a arrival, err error) {
			var m struct {
				arrival

				Retain     byte `json:"retain"`
				Properties struct {
					User        map[string]string `json:"user-properties"`
					ContentType string            `json:"content-type"`
					Correlation string            `json:"correlation-data"`
				} `json:"properties"`
			}
			err = json.Unmarshal(line, &m)
			a = m.arrival
			a.Retain, a.User, a.ContentType = m.Retain != 0, m.Properties.User["k"], m.Properties.ContentType
			a.Correlation = m.Properties.Correlation
			return a, err
		},
	}
}

// pahoC has the sample programs of Eclipse paho for C.
func pahoC() foreign {
	common := func(program, topic string, qos byte, p plan) *exec.Cmd {
		cmd := exec.Command(program, "-t", topic, "-h", p.Host, "-p", strconv.Itoa(p.Port), "-i", p.ID, "-q", fmt.Sprint(qos), "--quiet",
			"-V", map[byte]string{4: "311", 5: "5"}[p.Version])
		if w := p.Will; w != nil {
			cmd.Args = append(cmd.Args, "--will-topic", w.Topic, "--will-payload", w.Payload, "--will-qos", fmt.Sprint(w.QoS))
		}
		return cmd
	}
	return foreign{
		name:    "PahoC",
		simple:  true,
		missing: programs("paho for C: Debian's paho.mqtt.c-examples", "paho_c_pub", "paho_c_sub"),
		receive: func(p plan) *exec.Cmd { return common("paho_c_sub", p.Subscribe[0].Filter, p.Subscribe[0].QoS, p) },
		send: func(t *testing.T, p plan) (all []*exec.Cmd) {
			for _, m := range p.Publish {
				cmd := common("paho_c_pub", m.Topic, m.QoS, p)
				if m.Retain {
					cmd.Args = append(cmd.Args, "-r")
				}
				if m.User != "" {
					cmd.Args = append(cmd.Args, "--user-property", "k", m.User)
				}
				file := filepath.Join(t.TempDir(), "payload")
				if err := os.WriteFile(file, []byte(m.Payload), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd.Args = append(cmd.Args, "-f", file)
				all = append(all, cmd)
			}
			return all
		},
		parse: func(line []byte) (arrival, error) {
			for _, prefix := range []string{"URL is ", "Subscribing to "} {
				if bytes.HasPrefix(line, []byte(prefix)) {
					return arrival{}, errNoMessage
				}
			}
			if _, payload, found := bytes.Cut(line, []byte("\t")); found { // the topic is before it
				line = payload
			}
			return arrival{Payload: string(line)}, nil
		},
	}
}

// errNoMessage is the error for a line without a message.
var errNoMessage = errors.New("no message")

// receiver is a running client that receives messages.
type receiver struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}

	mu   sync.Mutex
	seen []arrival
	err  error
}

// receive starts a client and returns when it has subscribed.
func (f *foreign) start(t *testing.T, b *broker.Broker, p plan) *receiver {
	t.Helper()
	p.Stay = true
	p.to(b)
	r := &receiver{cmd: f.receive(p), done: make(chan struct{})}
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			r.add(f.parse(bytes.TrimSuffix(line, []byte("\n"))))
		}
	}()
	t.Cleanup(func() {
		r.end(os.Kill)
		if t.Failed() {
			t.Logf("%s: %s", r.cmd, r.stderr.Bytes())
		}
	})
	mqtttest.Eventually(t, patience, func() error {
		for _, s := range b.Sessions() {
			if s.ClientID == p.ID && s.Connected && len(s.Filters) == len(p.Subscribe) {
				return nil
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.seen) > 0 {
			return nil // it has subscribed, has got an answer and may have ended
		}
		return fmt.Errorf("not subscribed: %+v", b.Sessions())
	})
	return r
}

func (r *receiver) add(a arrival, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, errNoMessage) {
		return
	}
	r.seen = append(r.seen, a)
	r.err = errors.Join(r.err, err)
}

func (r *receiver) end(how os.Signal) {
	_ = r.cmd.Process.Signal(how)
	// mosquitto_sub disconnects within its signal handler, where it may lock up.
	late := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	<-r.done
	_ = r.cmd.Wait()
}

// stop ends the client with a DISCONNECT.
func (r *receiver) stop() { r.end(syscall.SIGTERM) }

// wait waits for n messages and returns all that have arrived.
func (r *receiver) wait(t *testing.T, n int) []arrival {
	t.Helper()
	var list []arrival
	mqtttest.Eventually(t, patience, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if list = r.seen; r.err != nil || len(list) < n {
			return fmt.Errorf("%d messages of %d: %v", len(list), n, r.err)
		}
		return nil
	})
	return list
}

// publish runs the commands of a plan until they end.
func (f *foreign) publish(t *testing.T, b *broker.Broker, p plan) {
	t.Helper()
	p.Clean = true
	p.to(b)
	for _, cmd := range f.send(t, p) {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
	}
}

func (p *plan) to(b *broker.Broker) {
	host, port, _ := net.SplitHostPort(b.Addr())
	p.Host = host
	p.Port, _ = strconv.Atoi(port)
}
