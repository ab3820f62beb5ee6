package repotest

import (
	"slices"
	"testing"
)

// root is the module's folder, seen from this package.
const root = "../../.."

const (
	kratos    = "github.com/go-kratos/kratos/v2"
	transport = "github.com/tx7do/kratos-transport"
)

// Lists that several rules use: the layers of the reference service, the packages that
// it declares, and the MQTT client libraries.
var (
	sample    = []string{"./cmd/...", "./internal/conf/...", "./internal/server/...", "./internal/service/...", "./internal/biz/...", "./internal/data/..."}
	sampleAPI = []string{"./api/report/...", "./api/device/..."}
	clients   = []string{"github.com/eclipse/paho.mqtt.golang/...", "github.com/eclipse/paho.golang/..."}
	parts     = []string{
		"./internal/mqtt/session/...", "./internal/mqtt/link/...", "./internal/mqtt/wire/...",
		"./internal/mqtt/delivery/...", "./internal/mqtt/topic/...",
	}
	// rooms are above the parts and below the client, which passes them values.
	rooms  = []string{"./internal/mqtt/envelope", "./internal/mqtt/hook", "./internal/mqtt/outbox/...", "./internal/mqtt/request", "./internal/mqtt/sequence"}
	engine = slices.Concat(parts, rooms, []string{"./internal/mqtt/client", "./internal/mqtt/option", "./internal/mqtt/operation"})
)

// rules lists which packages must not import which others.
func rules() []rule {
	return []rule{
		{
			why:    "the inside knows neither its fronts, nor the sample",
			from:   []string{"./internal/mqtt/..."},
			forbid: slices.Concat(sample, sampleAPI, []string{"./broker/...", "./transport/...", "./mqtttest/..."}),
			deep:   true,
		},
		{
			why:    "the inside is reached by the fronts, and what is below client by rooms only; event shares room by the guarded part of a topic, operator selects letters by topic, the console messages, the doctor of the command line measures brokers with packets of its own, explain has the client's defaults and rules of topics, and fakes refuse and match topics as the client does",
			from:   []string{"./..."},
			except: []string{"./internal/mqtt/...", "./event/deadletter", "./operator/...", "./observe/console", "./tools/kratos-mqtt/internal/doctor", "./tools/kratos-mqtt/internal/explain", "./mqtttest/brokerfake", "./mqtttest/internal/calls"},
			forbid: parts,
		},
		{
			why:    "only the two fronts stand on the engine; the command line measures brokers with packets of its own, and explains with the client's defaults; fakes refuse and match topics as the client does",
			from:   []string{"./..."},
			except: []string{"./internal/mqtt/...", "./broker/mqtt/...", "./transport/mqtt/...", "./event/deadletter", "./operator/...", "./observe/console", "./tools/kratos-mqtt/internal/doctor", "./tools/kratos-mqtt/internal/explain", "./mqtttest/brokerfake", "./mqtttest/internal/calls"},
			forbid: engine,
		},
		{
			why:    "client libraries stay behind the engine",
			from:   []string{"./..."},
			except: engine,
			forbid: clients,
		},
		{
			why:    "transport/mqtt takes its options from broker/mqtt, never the reverse: a service that only publishes links no server",
			from:   []string{"./broker/mqtt/..."},
			forbid: []string{"./transport/..."},
			deep:   true,
		},
		{
			why:    "the public packages know nothing of the sample",
			from:   []string{"./broker/...", "./transport/...", "./event/...", "./mqtttest/...", "./tools/..."},
			forbid: slices.Concat(sample, sampleAPI),
			deep:   true,
		},
		{
			why:    "generated code stands on event, so event stands on no client, engine or transport of ours; its stores open files, and share room by the guarded part of a topic, as all of us do",
			from:   []string{"./event/..."},
			forbid: slices.Concat(clients, []string{"./...", transport + "/..."}),
			allow:  []string{"./event/...", "./api/kratosmqtt/...", "./internal/mqtt/ownfile", "./internal/mqtt/topic"},
			deep:   true,
		},
		{
			forbid: []string{"github.com/go-kratos/...", transport + "/..."},
			deep:   true,
		},
		{
			why:    "observe reads hooks and Health, and leaves the SDK and exporters of metrics to the service",
			from:   []string{"./observe"},
			forbid: []string{"./...", "github.com/go-kratos/...", transport + "/...", "go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/exporters/...", "github.com/prometheus/..."},
			allow:  []string{"./event/...", "./api/kratosmqtt/...", "./internal/mqtt/semconv", "./internal/mqtt/topic", "./internal/mqtt/logsafe"},
			deep:   true,
		},
		{
			why:    "the console reads by observe and acts by operator; it decodes as the operator does, and knows events by their descriptors",
			from:   []string{"./observe/console"},
			forbid: slices.Concat(clients, []string{"./...", "github.com/go-kratos/...", transport + "/...", "go.opentelemetry.io/otel/sdk/...", "github.com/prometheus/..."}),
			allow: []string{
				"./observe/...", "./operator/...", "./event/...", "./api/kratosmqtt/...", "./internal/mqtt/semconv", "./internal/mqtt/topic", "./internal/mqtt/logsafe",
				"./internal/mqtt/decode", "./internal/mqtt/bounds", "./internal/mqtt/eventproto", "./internal/mqtt/identity", "./internal/mqtt/ownfile",
			},
			deep: true,
		},
		{
			why:    "event keeps nothing; its stores do",
			from:   []string{"./event"},
			forbid: []string{"database/sql"},
		},
		{
			why:    "operator acts on values of event, through interfaces, and reports what observe reads; declared events, topics, bounds of payloads and what may be printed are the same for all",
			from:   []string{"./operator/..."},
			forbid: slices.Concat(clients, []string{"./...", "github.com/go-kratos/...", transport + "/..."}),
			allow:  []string{"./operator/...", "./observe", "./event/...", "./api/kratosmqtt/...", "./internal/mqtt/semconv", "./internal/mqtt/topic", "./internal/mqtt/bounds", "./internal/mqtt/decode", "./internal/mqtt/eventproto", "./internal/mqtt/identity", "./internal/mqtt/logsafe", "./internal/mqtt/ownfile"},
			deep:   true,
		},
		{
			why:    "generated code takes nothing of ours but event and other messages",
			from:   []string{"./api/..."},
			forbid: []string{"./..."},
			allow:  []string{"./api/...", "./event", "./event/eventimpl", "./event/message"},
			deep:   true,
		},
		{
			why:    "biz decides; it knows neither where data lies nor how it travels",
			from:   []string{"./internal/biz/..."},
			forbid: slices.Concat(clients, []string{"./internal/...", "./broker/...", "./transport/...", "./mqtttest/...", transport + "/...", "database/sql"}),
			allow:  []string{"./internal/biz/..."},
			deep:   true,
		},
		{
			why:    "service sees api and biz, and of event what a handler of batches decides with",
			from:   []string{"./internal/service/..."},
			forbid: []string{"./...", "database/sql"},
			allow:  []string{"./api/...", "./event", "./internal/biz/...", "./internal/service/..."},
		},
		{
			why:    "data sees biz, conf, api, broker/mqtt, event and how files are opened",
			from:   []string{"./internal/data/..."},
			forbid: []string{"./..."},
			allow:  []string{"./internal/biz/...", "./internal/conf/...", "./internal/data/...", "./api/...", "./broker/mqtt", "./event/...", "./internal/mqtt/ownfile"},
		},
		{
			why:    "server sees service, api, conf, transport/mqtt with the options of broker/mqtt, the bounds of payloads and of log lines, the stores it is given, and the in-process broker it can start",
			from:   []string{"./internal/server/..."},
			forbid: []string{"./..."},
			allow: []string{
				"./internal/service/...", "./internal/conf/...", "./internal/server/...", "./api/...", "./transport/mqtt", "./broker/mqtt",
				"./event", "./event/dedup", "./event/deadletter", "./internal/mqtt/bounds", "./internal/mqtt/logsafe", "./mqtttest/broker", "./operator/...", "./observe/...",
			},
		},
		{
			why:    "the fake for generated clients serves both Kratos versions",
			from:   []string{"./mqtttest/eventfake"},
			forbid: []string{"github.com/go-kratos/...", transport + "/..."},
			deep:   true,
		},
		{
			why:    "the in-process broker shares no code with what it tests, and runs in programs that are no tests",
			from:   []string{"./mqtttest/broker"},
			forbid: slices.Concat(clients, []string{"./...", transport + "/...", kratos + "/...", "testing"}),
			deep:   true,
		},
		{
			why:    "tests of a service on Kratos v3 start brokers and use fakes, too",
			from:   []string{"./mqtttest", "./mqtttest/cluster", "./mqtttest/eventfake"},
			forbid: []string{"github.com/go-kratos/...", transport + "/..."},
			deep:   true,
		},
		{
			why:    "brokers for tests are started by tests, and the in-process one by the server layer of the sample",
			from:   []string{"./..."},
			except: []string{"./mqtttest/...", "./tools/kratos-mqtt/...", "./internal/server/...", "./internal/test/e2e/...", "./internal/test/soak", "./internal/test/replicas"},
			forbid: []string{"./mqtttest/..."},
		},
		{
			why:    "kratos-transport is known to the fronts, to the suite that holds any of its brokers to its promises, and, for its options and headers, to those who use them: the outer layers of the sample and the command line",
			from:   []string{"./..."},
			except: []string{"./provider", "./mqtttest/conformance", "./mqtttest/brokerfake", "./broker/mqtt/...", "./transport/mqtt/...", "./internal/test/soak", "./internal/data/...", "./internal/server/...", "./internal/service/...", "./tools/kratos-mqtt/..."},
			forbid: []string{transport + "/..."},
		},
	}
}

func TestImportRules(t *testing.T) {
	t.Parallel()
	g := loadGraph(t, "./...")
	for _, r := range rules() {
		breaches, used := r.check(g)
		for _, breach := range breaches {
			t.Error(breach)
		}
		if !used {
			t.Logf("about no package yet: %s", r.why)
		}
	}
}
