package mqtttest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const orphanVariable = "MQTTTEST_ORPHAN"

// TestOrphan is the program that the next test kills.
func TestOrphan(t *testing.T) {
	if os.Getenv(orphanVariable) == "" {
		return
	}
	fmt.Println(mqtttest.Mosquitto(t).URL())
	_, _ = os.Stdin.Read(make([]byte, 1)) // until killed
}

func TestMosquittoDiesWithTheTest(t *testing.T) {
	t.Parallel()
	mqtttest.Mosquitto(t) // skips where there is none
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	cmd.Env = append(os.Environ(), orphanVariable+"=1", "TMPDIR="+t.TempDir())
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(strings.TrimSpace(line), "mqtt://")
	mqtttest.Raw(t, address).Connect(4, "c", true)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	mqtttest.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}
