package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Isolates the tests from the environment of the caller.
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "KM_") {
			_ = os.Unsetenv(key)
		}
	}
	goleak.VerifyTestMain(m)
}

func shipped(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestShippedConfigurations(t *testing.T) {
	database := filepath.Clean(shipped(t, "../data/reports.db"))
	for name, want := range map[string]struct {
		http, grpc, embedded, broker, client, database string
		outbox, dedup, letters                         string
		subscribes                                     bool
	}{
		"config.yaml":    {"127.0.0.1:8000", "127.0.0.1:9000", "127.0.0.1:1883", "", "report-service", database, "file", "sql", "sql", true},
		"collector.yaml": {"127.0.0.1:8000", "127.0.0.1:9000", "", "mqtt://127.0.0.1:1883", "report-collector", "", "file", "none", "retained", false},
		"saver.yaml":     {"127.0.0.1:8001", "", "", "mqtt://127.0.0.1:1883", "report-saver", database, "sql", "sql", "sql", true},
	} {
		b, err := Load(shipped(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		connection := b.GetMqtt().GetConnection()
		for what, got := range map[string][2]string{
			"HTTP":     {b.Server.GetHttp().GetAddr(), want.http},
			"gRPC":     {b.Server.GetGrpc().GetAddr(), want.grpc},
			"embedded": {b.Server.GetEmbedded().GetAddr(), want.embedded},
			"broker":   {strings.Join(connection.GetAddresses(), " "), want.broker},
			"client":   {connection.GetClientId(), want.client},
			"database": {b.GetData().GetDatabase().GetSource(), want.database},
			"outbox":   {b.GetMqtt().OutboxDriver(), want.outbox},
			"dedup":    {b.DedupDriver(), want.dedup},
			"letters":  {b.DeadLettersDriver(), want.letters},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %s is %q, want %q", name, what, got[0], got[1])
			}
		}
		if subscribes := b.Server.Mqtt != nil; subscribes != want.subscribes {
			t.Errorf("%s: subscribes %v", name, subscribes)
		}
		if b.Server.Http.Timeout.AsDuration() != 5*time.Second {
			t.Errorf("%s: timeout %v", name, b.Server.Http.Timeout)
		}
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	for key, value := range map[string]string{
		EnvHTTPAddr: "127.0.0.1:1", EnvGRPCAddr: "[::1]:2", EnvMQTTAddr: "127.0.0.1:0",
		EnvMQTTBroker: "mqtts://user:pa:ss@broker.example:8883", EnvDatabaseSource: "here/reports.db",
		EnvOutbox: DriverMemory, EnvOutboxPath: "here/outbox.db",
		"KM_MQTT_CLIENT_ID": "me", "KM_OTHER": "ignored",
	} {
		t.Setenv(key, value)
	}
	b, err := Load(shipped(t, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("here")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		b.Server.Http.Addr:               "127.0.0.1:1",
		b.Server.Grpc.Addr:               "[::1]:2",
		b.Server.Embedded.Addr:           "127.0.0.1:0",
		b.Mqtt.Connection.Addresses[0]:   "mqtts://user:pa:ss@broker.example:8883",
		b.Mqtt.Connection.ClientId:       "me",
		b.GetData().GetDatabase().Source: filepath.Join(here, "reports.db"),
		b.Mqtt.Outbox.Path:               filepath.Join(here, "outbox.db"),
		b.Mqtt.OutboxDriver():            DriverMemory,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEmptyVariableIsUnset(t *testing.T) {
	t.Setenv(EnvHTTPAddr, "")
	b, err := Load(shipped(t, "config.yaml"))
	if err != nil || b.Server.Http.Addr != "127.0.0.1:8000" {
		t.Errorf("got %v, %v", b.GetServer().GetHttp(), err)
	}
}

func TestMemorySourceStaysAsItIs(t *testing.T) {
	t.Setenv(EnvDatabaseSource, MemorySource)
	b, err := Load(shipped(t, "saver.yaml"))
	if err != nil || b.Data.Database.Source != MemorySource {
		t.Errorf("got %v, %v", b.GetData(), err)
	}
}

func TestPathsStartAtTheFileThatNamesThem(t *testing.T) {
	path := write(t, `
server: {http: {addr: "127.0.0.1:0"}}
mqtt:
  connection: {addresses: ["mqtt://127.0.0.1:1"]}
  outbox: {driver: file, path: a/outbox.db}
  dead_letters: {path: ../letters.db}
`)
	b, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(path)
	if want := filepath.Join(folder, "a", "outbox.db"); b.Mqtt.Outbox.Path != want {
		t.Errorf("outbox %s, want %s", b.Mqtt.Outbox.Path, want)
	}
	if want := filepath.Join(folder, "..", "letters.db"); b.Mqtt.DeadLetters.Path != want {
		t.Errorf("dead letters %s, want %s", b.Mqtt.DeadLetters.Path, want)
	}
	if driver := b.DeadLettersDriver(); driver != DriverFile {
		t.Errorf("dead letters by %s", driver)
	}
}

func TestPostgresSourceIsNoPath(t *testing.T) {
	t.Setenv(EnvDatabaseDriver, DriverPostgres)
	for source, name := range map[string]string{
		"postgres://me:topsecret@db.example:6543/reports?sslmode=disable": "postgres://db.example:6543/reports",
		"host=/run/postgresql dbname=reports password=topsecret":          "postgres:///run/postgresql:5432/reports",
	} {
		t.Setenv(EnvDatabaseSource, source)
		b, err := Load(shipped(t, "saver.yaml"))
		if err != nil || b.Data.Database.Source != source {
			t.Fatalf("got %v, %v", b.GetData(), err)
		}
		if got := b.Data.Database.Name(); got != name {
			t.Errorf("shown as %s, want %s", got, name)
		}
	}
}

func TestLoadReportsAllProblems(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty": {"x: {}", []string{"x"}},
		"nothing runs": {
			"server: {}",
			[]string{"none of http, grpc and mqtt", "mqtt.connection.addresses", EnvMQTTBroker},
		},
		"everything wrong": {
			`
server:
  http: {addr: "8000", timeout: 0s}
  grpc: {addr: ""}
  mqtt: {}
device: {temperature_limit: NaN, offline_after: 0s}
`,
			[]string{"server.http.addr", "server.http.timeout", "server.grpc.addr", "data.database", "mqtt.connection.addresses", "device.temperature_limit", "device.offline_after"},
		},
		"health": {
			"health: {certificate: 0s, outbox_age: -1s, message_age: 0s, letters_lost: 0s, losses: 0, losses_within: 0s}",
			[]string{"health.certificate", "health.outbox_age", "health.message_age", "health.letters_lost", "health.losses: is 0, want 1 to 1000", "health.losses_within"},
		},
		"other sites": {
			`server: {http: {addr: ":0", hosts: [a.example, "a.example:80", "http://a.example"], origins: ["https://a.example", "https://a.example/", "a.example", "*", "https://a.example:443", "http://a.example:80", "http://a.example:443"]}}`,
			[]string{"server.http.hosts[1]", "server.http.hosts[2]", "server.http.origins[1]", "server.http.origins[2]", "server.http.origins[3]", "server.http.origins[4]", "server.http.origins[5]"},
		},
		"database": {
			"data: {database: {driver: oracle}}",
			[]string{"data.database.driver: want sqlite", "data.database.source", EnvDatabaseSource},
		},
		"PostgreSQL": {
			`data: {database: {driver: postgres, source: "postgres://u:topsecret@host:port/x"}}`,
			[]string{"data.database.source: want", "none of http, grpc and mqtt"},
		},
		"PostgreSQL without its driver": {
			`data: {database: {source: "postgres://u:topsecret@host/x"}}`,
			[]string{"data.database.source: is a PostgreSQL source", "KM_DATABASE_DRIVER", "none of http, grpc and mqtt"},
		},
		"keywords of PostgreSQL without its driver": {
			`data: {database: {source: "host=h password=topsecret"}}`,
			[]string{"data.database.source: is a PostgreSQL source", "KM_DATABASE_DRIVER", "none of http, grpc and mqtt"},
		},
		"stores": {
			`
mqtt:
  outbox: {driver: tape}
  dedup: {driver: sql, window: -1s}
  dead_letters: {driver: sql, park_limit: -1s}
`,
			[]string{
				"mqtt.outbox.driver: want file,", "mqtt.dedup.driver: sql needs a database", "mqtt.dedup.window",
				"mqtt.dead_letters.driver: sql needs a database", "mqtt.dead_letters.park_limit",
			},
		},
		"stores without a place": {
			"mqtt: {outbox: {driver: file}, dead_letters: {driver: file}, dedup: {driver: file}}",
			[]string{"mqtt.outbox.path", "mqtt.dead_letters.path", "mqtt.dedup.driver: want sql"},
		},
		"typing mistake": {`server: {htpp: {addr: "127.0.0.1:0"}}`, []string{"htpp"}},
		"wrong type":     {"server: {http: {timeout: soon}}", []string{"config.yaml:1: server.http.timeout: want a duration"}},
		"no YAML":        {"a: [", []string{"config.yaml"}},
	} {
		_, err := Load(write(t, test.text))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %q has the password", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}

func TestLocate(t *testing.T) {
	root := t.TempDir()
	command := filepath.Join(root, "cmd", "server")
	configs := filepath.Join(root, "configs")
	for _, folder := range []string{command, configs} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config.yaml", "saver.yaml"} {
		if err := os.WriteFile(filepath.Join(configs, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ folder, path, want string }{
		{root, "", "config.yaml"},
		{command, "", "config.yaml"},
		{root, "./configs", "config.yaml"},
		{command, "../../configs/", "config.yaml"},
		{root, "configs/saver.yaml", "saver.yaml"},
		{root, configs, "config.yaml"},
		{root, "configs/none.yaml", ""},
		{root, "cmd", ""},
		{t.TempDir(), "", ""},
	} {
		t.Chdir(test.folder)
		got, err := Locate(test.path)
		if test.want == "" {
			if err == nil {
				t.Errorf("%s in %s: got %s, want an error", test.path, test.folder, got)
			}
			continue
		}
		want := filepath.Join(configs, test.want)
		if err != nil || !sameFile(t, got, want) || !filepath.IsAbs(got) {
			t.Errorf("%s in %s: got %s, %v, want %s", test.path, test.folder, got, err, want)
		}
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	first, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(first, second)
}
