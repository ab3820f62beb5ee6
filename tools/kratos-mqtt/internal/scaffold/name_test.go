package scaffold_test

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

func TestNamesOfServices(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"abc", "a-1", "orders", "orders-2-eu", strings.Repeat("a", 40), "testing-x"} {
		if err := scaffold.CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"": "want 3 to 40", "ab": "want 3 to 40", strings.Repeat("a", 41): "want 3 to 40", "1ab": "a letter first", "-ab": "a letter first",
		"ab-": "no dash last", "a--b": "single dashes", "Orders": "lower-case", "a_b": "dashes", "a/b": "dashes", "../x": "dashes", "größe": "lower-case",
		"orders-cmd": "kratos run", "cmd": "kratos run", "internal": "something else to Go", "vendor": "something else to Go",
	} {
		if err := scaffold.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

func TestModulePaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"orders", "example.com/shop/orders", "example.com/log"} {
		if err := scaffold.CheckModule(t.Context(), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, want := range map[string]string{
		"log": "the standard library has log: set another one with --module", "all": "standard library", "net/orders": "standard library",
		"example.com//x": "double slash", "a b": "invalid char",
	} {
		if err := scaffold.CheckModule(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestNamesOfEvents(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]scaffold.Event{
		"paid":             {Name: "paid", Go: "Paid", Var: "paid", Snake: "paid", File: "paid"},
		"order-paid":       {Name: "order-paid", Go: "OrderPaid", Var: "orderPaid", Snake: "order_paid", File: "order_paid"},
		"order-paid-event": {Name: "order-paid", Go: "OrderPaid", Var: "orderPaid", Snake: "order_paid", File: "order_paid"},
		"step-2":           {Name: "step-2", Go: "Step2", Var: "step2", Snake: "step_2", File: "step_2"},
		"type":             {Name: "type", Go: "Type", Var: "type", Snake: "type", File: "type"},
		// Go builds x_linux.go for Linux only, and takes x_test.go for a test.
		"built-for-linux": {Name: "built-for-linux", Go: "BuiltForLinux", Var: "builtForLinux", Snake: "built_for_linux", File: "built_for_linux_event"},
		"unit-test":       {Name: "unit-test", Go: "UnitTest", Var: "unitTest", Snake: "unit_test", File: "unit_test_event"},
		"data":            {Name: "data", Go: "Data", Var: "data", Snake: "data", File: "data_event"},
	} {
		if e, err := scaffold.NewEvent(name); err != nil || e != want {
			t.Errorf("%s: %+v, %v, want %+v", name, e, err, want)
		}
	}
	for name, want := range map[string]string{
		"": "want 2 to 40", "x": "want 2 to 40", "OrderPaid": "lower-case", "order_paid": "dashes", "micro-service": "want another end than service",
		"x-repo": "want another end than repo", strings.Repeat("x", 41): "want 2 to 40",
	} {
		if _, err := scaffold.NewEvent(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}
