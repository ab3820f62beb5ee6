package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// contender is a running service with its broker and database.
type contender struct {
	name, addr string
	dir        string
	broker     *exec.Cmd
	service    *exec.Cmd
	db         *sql.DB
	writer     func() (*sql.DB, error) // opens the database to create a trigger
	postgres   bool
	rows       int
}

const mosquittoConfig = `listener %d 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages %d
set_tcp_nodelay true
log_dest none
`

// patience bounds each start, and the wait until all accepted reports are stored.
const patience = 5 * time.Minute

func (s *settings) start(name, database string, pg *postgres.Server) (*contender, error) {
	dir, err := os.MkdirTemp("", "bench-service-")
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, dir: dir}
	ports, err := freePorts(2)
	if err != nil {
		return c, err
	}
	driver, source, dsn := "sqlite", filepath.Join(dir, "reports.db"), "file:"+filepath.Join(dir, "reports.db")+"?mode=ro&_pragma=busy_timeout(5000)"
	if database == "postgres" {
		if source, err = pg.Create(); err != nil {
			return c, err
		}
		c.postgres, driver, dsn = true, postgres.Driver, source
	}
	c.writer = func() (*sql.DB, error) { return sql.Open(driver, strings.Replace(dsn, "mode=ro&", "", 1)) }
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, mosquittoConfig, ports[0], s.inflight), 0o600); err != nil {
		return c, err
	}
	if c.broker, err = launch(dir, nil, mosquitto(), "-c", config); err != nil {
		return c, err
	}
	if err := listens(fmt.Sprintf("127.0.0.1:%d", ports[0])); err != nil {
		return c, err
	}
	c.addr = fmt.Sprintf("127.0.0.1:%d", ports[1])
	if c.service, err = s.launch(c, fmt.Sprintf("127.0.0.1:%d", ports[0]), database, source); err != nil {
		return c, err
	}
	if err := listens(c.addr); err != nil {
		return c, err
	}
	if c.db, err = sql.Open(driver, dsn); err != nil {
		return c, err
	}
	return c, c.warmUp(s)
}

func (s *settings) launch(c *contender, broker, database, source string) (*exec.Cmd, error) {
	if c.name == byHand {
		return launch(c.dir, nil, s.handwritten,
			"-http", c.addr, "-broker", "tcp://"+broker, "-driver", database, "-source", source)
	}
	config, err := s.config(c.dir)
	if err != nil {
		return nil, err
	}
	outbox := "file"
	if c.name == withoutOutbox {
		outbox = "none"
	}
	return launch(c.dir, []string{
		"KM_HTTP_ADDR=" + c.addr, "KM_GRPC_ADDR=127.0.0.1:0", "KM_MQTT_BROKER=mqtt://" + broker, "KM_MQTT_PRESET=mosquitto",
		"KM_OUTBOX=" + outbox, "KM_OUTBOX_PATH=" + filepath.Join(c.dir, "outbox.db"),
		"KM_DATABASE_DRIVER=" + database, "KM_DATABASE_SOURCE=" + source,
	}, s.server, "-conf", config)
}

// config writes the service's configuration with another bound of the outbox.
func (s *settings) config(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join("configs", "config.yaml"))
	if err != nil {
		return "", err
	}
	if s.maxBytes > 0 {
		line := `    path: "${KM_OUTBOX_PATH:../data/outbox.db}"` + "\n"
		if !strings.Contains(string(text), line) {
			return "", fmt.Errorf("no line %q in the configuration", line)
		}
		text = []byte(strings.Replace(string(text), line, line+fmt.Sprintf("    max_bytes: %d\n", s.maxBytes), 1))
	}
	path := filepath.Join(dir, "config.yaml")
	return path, os.WriteFile(path, text, 0o600)
}

func launch(dir string, env []string, program string, args ...string) (*exec.Cmd, error) {
	out, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), out, out
	return cmd, cmd.Start()
}

func mosquitto() string {
	if program, err := exec.LookPath("mosquitto"); err == nil {
		return program
	}
	return "/usr/sbin/mosquitto"
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func listens(addr string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if nc, err := net.Dial("tcp", addr); err == nil {
			return nc.Close()
		}
	}
	return fmt.Errorf("nothing listens at %s", addr)
}

// warmUp posts until the service accepts reports, and waits until they are stored.
func (c *contender) warmUp(s *settings) error {
	posted, err := load(c.addr, s.clients, s.size, 500*time.Millisecond)
	if err != nil {
		return err
	}
	c.rows = posted.accepted
	return c.awaitRows()
}

var errMissing = errors.New("rows are missing")

// awaitRows waits until every accepted report is stored.
func (c *contender) awaitRows() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := 0; ; {
		if err := c.db.QueryRowContext(ctx, "SELECT count(*) FROM realtime_warehousing").Scan(&n); err != nil {
			return fmt.Errorf("%w: %d of %d", err, n, c.rows)
		}
		if n >= c.rows {
			if n > c.rows {
				return fmt.Errorf("%d rows of %d accepted reports", n, c.rows)
			}
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d", errMissing, n, c.rows)
		}
	}
}

func (c *contender) stop() {
	if c.db != nil {
		_ = c.db.Close()
	}
	for _, cmd := range []*exec.Cmd{c.service, c.broker} {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	_ = os.RemoveAll(c.dir)
}
