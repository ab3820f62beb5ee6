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

// Lists that several rules name: the layers of the reference service, what it
// declares, and the MQTT client libraries.
var (
	sample    = []string{"./cmd/...", "./internal/conf/...", "./internal/server/...", "./internal/service/...", "./internal/biz/...", "./internal/data/..."}
	sampleAPI = []string{"./api/report/...", "./api/device/..."}
	clients   = []string{"github.com/eclipse/paho.mqtt.golang/...", "github.com/eclipse/paho.golang/..."}
	parts     = []string{
		"./internal/mqtt/session/...", "./internal/mqtt/link/...", "./internal/mqtt/wire/...",
		"./internal/mqtt/delivery/...", "./internal/mqtt/topic/...",
	}
	// rooms are above the parts and below the client, which hands them values.
	rooms  = []string{"./internal/mqtt/envelope", "./internal/mqtt/hook", "./internal/mqtt/outbox/...", "./internal/mqtt/request", "./internal/mqtt/sequence"}
	engine = slices.Concat(parts, rooms, []string{"./internal/mqtt/client"})
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
			why:    "the inside is reached by the fronts, and what is below client by rooms only; event shares room by the guarded part of a topic",
			from:   []string{"./..."},
			except: []string{"./internal/mqtt/...", "./event/deadletter"},
			forbid: parts,
		},
		{
			why:    "only the two fronts stand on the engine",
			from:   []string{"./..."},
			except: []string{"./internal/mqtt/...", "./broker/mqtt/...", "./transport/mqtt/...", "./event/deadletter"},
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
			why:    "event keeps nothing; its stores do",
			from:   []string{"./event"},
			forbid: []string{"database/sql"},
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
			why:    "server sees service, api, conf, transport/mqtt with the options of broker/mqtt, the bounds of payloads and the stores it is given, and the in-process broker it can start",
			from:   []string{"./internal/server/..."},
			forbid: []string{"./..."},
			allow: []string{
				"./internal/service/...", "./internal/conf/...", "./internal/server/...", "./api/...", "./transport/mqtt", "./broker/mqtt",
				"./event", "./event/dedup", "./event/deadletter", "./internal/mqtt/bounds", "./mqtttest/broker",
			},
		},
		{
			why:    "the in-process broker shares no code with what it tests, and runs in programs that are no tests",
			from:   []string{"./mqtttest/broker"},
			forbid: slices.Concat(clients, []string{"./...", transport + "/...", kratos + "/...", "testing"}),
			deep:   true,
		},
		{
			why:    "brokers for tests are started by tests, and the in-process one by the server layer of the sample",
			from:   []string{"./..."},
			except: []string{"./mqtttest/...", "./tools/kratos-mqtt/...", "./internal/server/...", "./internal/test/e2e/...", "./internal/test/soak"},
			forbid: []string{"./mqtttest/..."},
		},
		{
			why:    "kratos-transport is known to the fronts, to the suite that holds any of its brokers to its promises, and, for its options and headers, to the sample's outer layers",
			from:   []string{"./..."},
			except: []string{"./provider", "./mqtttest", "./broker/mqtt/...", "./transport/mqtt/...", "./internal/test/soak", "./internal/data/...", "./internal/server/...", "./internal/service/..."},
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
