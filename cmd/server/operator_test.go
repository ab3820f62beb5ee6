package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

const operatorToken = "a token of many letters"

// operate calls a method of the operator's service by HTTP.
func (r *running) operate(t *testing.T, token, method, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+remote.Path+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %d %s: %v", method, res.StatusCode, text, err)
	}
	return res.StatusCode, answer
}

// letters returns the dead letters once there are n of them with so many replays.
func (r *running) letters(t *testing.T, n, replays int) (list []map[string]any) {
	t.Helper()
	eventually(t, func() bool {
		code, answer := r.operate(t, operatorToken, "ListLetters", `{}`)
		if code != http.StatusOK {
			t.Fatalf("%d %v", code, answer)
		}
		list = nil
		for _, l := range answer["letters"].([]any) {
			if letter := l.(map[string]any); letter["replays"] == float64(replays) {
				list = append(list, letter)
			}
		}
		return len(list) == n
	})
	return list
}

// What the service declares is served with the comments of its .proto files, and how its clients
// work with what the broker granted.
func TestOperatorDescribesTheService(t *testing.T) {
	t.Setenv(conf.EnvOperatorToken, operatorToken)
	c := allInOne(filepath.Join(t.TempDir(), "test.db"))
	c.Server.Operator = new(conf.Server_Operator)
	r := start(t, c)
	r.post(t, 0) // returns once the service is subscribed
	_, answer := r.operate(t, operatorToken, "GetDescriptors", `{}`)
	text, err := base64.StdEncoding.DecodeString(answer["descriptor_set"].(string))
	if err != nil || !strings.Contains(string(text), "RecordTelemetry stores a reading") {
		t.Errorf("%v, %q", err, text)
	}
	_, answer = r.operate(t, operatorToken, "GetHealth", `{}`)
	granted := 0
	for _, client := range answer["clients"].([]any) {
		for _, f := range client.(map[string]any)["filters"].([]any) {
			if filter := f.(map[string]any); filter["granted"] == true && filter["error"] == "" && filter["asked_qos"] == filter["granted_qos"] {
				granted++
			}
		}
	}
	if answer["status"] != "ready" || granted < 3 {
		t.Errorf("%d filters granted: %v", granted, answer)
	}
}

// An operator finds a message that cannot be decoded, replays it without success, and mends it: by HTTP and
// gRPC, whatever keeps the letters. A letter that somebody else has put there is not replayed.
func TestOperator(t *testing.T) {
	for _, driver := range []string{conf.DriverSQL, conf.DriverFile, conf.DriverRetained} {
		t.Run(driver, func(t *testing.T) {
			folder := t.TempDir()
			token := filepath.Join(folder, "token")
			if err := os.WriteFile(token, []byte(operatorToken), 0o600); err != nil {
				t.Fatal(err)
			}
			c := allInOne(filepath.Join(folder, "test.db"))
			c.Mqtt.DeadLetters = &kratosmqttv1.DeadLetters{Driver: driver, Path: filepath.Join(folder, "letters.db")}
			c.Server.Operator = &conf.Server_Operator{TokenFile: token, Archive: filepath.Join(folder, "archive.jsonl")}
			r := start(t, c)
			r.post(t, 0) // returns once the service is subscribed
			device := connectDevice(t, r.broker, "device")
			forged := 0
			if driver == conf.DriverRetained {
				forged = 1
				letter := `{"specversion":"1.0","type":"kratosmqtt.deadletter.v1","source":"/test","id":"018bcfe5-6800-7000-8000-000000000001",` +
					`"subject":"secrets/everything","data":"x"}`
				if err := wait(device.Publish("dead-letter/test/01/018bcfe5-6800-7000-8000-000000000001", 1, true, letter)); err != nil {
					t.Fatal(err)
				}
			}
			if err := wait(device.Publish("reports/event", 1, false, "\xff no protobuf")); err != nil {
				t.Fatal(err)
			}
			list := r.letters(t, 1+forged, 0)
			letter := list[len(list)-1]
			if letter["topic"] != "reports/event" || letter["operation"] != "/report.v1.ReportEvents/SaveEventReport" || letter["error_type"] == "" {
				t.Errorf("%v", letter)
			}
			if code, _ := r.operate(t, "another", "DeleteLetters", `{"all":true}`); code != http.StatusUnauthorized {
				t.Errorf("another token: %d", code)
			}
			_, outcome := r.operate(t, operatorToken, "ReplayLetters", `{"all":true,"by":"tester"}`)
			if outcome["done"] != "1" || outcome["failed"] != []string{"0", "1"}[forged] {
				t.Errorf("%v", outcome)
			}
			again := r.letters(t, 1, 1)[0]
			if again["fingerprint"] != letter["fingerprint"] {
				t.Errorf("%v is in another group than %v", again, letter)
			}
			id, _ := again["id"].(string)
			code, answer := r.operate(t, operatorToken, "ReplayEdited",
				`{"id":"`+id+`","text":"{\"event_id\":\"018bcfe5-6800-7000-8000-0000000000aa\",\"event_name\":\"mended\",\"create_time\":\"2026-01-02T03:04:05Z\",\"report_data\":\"{}\"}","by":"tester"}`)
			if code != http.StatusOK {
				t.Fatalf("%d %v", code, answer)
			}
			eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 2 })
			r.callOperator(t, forged)
		})
	}
}

// callOperator lists and archives by gRPC what is left.
func (r *running) callOperator(t *testing.T, left int) {
	t.Helper()
	addresses, err := r.app.Endpoint(), error(nil)
	var conn *grpc.ClientConn
	for _, a := range addresses {
		if address, ok := strings.CutPrefix(a, "grpc://"); ok {
			conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		}
	}
	if err != nil || conn == nil {
		t.Fatalf("endpoints %v: %v", addresses, err)
	}
	defer conn.Close()
	client := operatorv1.NewOperatorServiceClient(conn)
	if _, err := client.ListLetters(t.Context(), &operatorv1.ListLettersRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+operatorToken)
	page, err := client.ListLetters(ctx, &operatorv1.ListLettersRequest{})
	if err != nil || len(page.GetLetters()) != left {
		t.Fatalf("%v, %v", page, err)
	}
	if left == 0 {
		return
	}
	if page.GetLetters()[0].GetSuspect() == "" {
		t.Errorf("a forged letter is not suspect: %v", page)
	}
	outcome, err := client.ArchiveLetters(ctx, &operatorv1.ActOnLettersRequest{All: true})
	if err != nil || outcome.GetDone() != int64(left) {
		t.Errorf("%v, %v", outcome, err)
	}
}

// Beyond loopback the service does not start without a token.
func TestOperatorNeedsAToken(t *testing.T) {
	t.Setenv(conf.EnvOperatorToken, "")
	c := allInOne(filepath.Join(t.TempDir(), "test.db"))
	c.Server.Http.Addr, c.Server.Operator = "0.0.0.0:0", &conf.Server_Operator{}
	_, cleanup, err := wireApp(t.Context(), c, source{}, "test", "1.2.3", quiet(), io.Discard)
	if err == nil {
		cleanup()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), conf.EnvOperatorToken) || !strings.Contains(err.Error(), "0.0.0.0:0") {
		t.Error(err)
	}
}
