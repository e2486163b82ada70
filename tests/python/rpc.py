# A peer that speaks JSON-RPC over lines, by the standard library alone. It calls, and is called.
import json
import queue
import socket
import sys
import threading

stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[1])
lines = stream.makefile("r", encoding="utf-8", newline="\n")
writing = threading.Lock()
answers, progress, told, waiting = {}, {}, [], {}


def say(**message):
    with writing:
        stream.sendall((json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False) + "\n").encode())


def handle(method, params, number):
    if method == "node/double":
        say(id=number, result=2 * params[0])
    elif method == "node/fail":
        say(id=number, error={"code": -31000, "message": "as it was asked to"})
    elif method == "node/wait":
        told.append("waiting")
        waiting[number] = True
    elif method == "node/tell":
        told.append(params[0])
    elif method == "node/told":
        say(id=number, result=told[:])
        told.clear()
    elif method == "$/cancelRequest" and waiting.pop(params["id"], False):
        told.append("cancelled")
        say(id=params["id"], error={"code": -32800, "message": "cancelled"})
    elif method == "$/progress":
        progress.setdefault(params["token"], []).append(params["value"])


def read():
    for line in lines:
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0", message
        if "method" in message:
            handle(message["method"], message.get("params"), message.get("id"))
        else:
            answers[message["id"]].put(message)


threading.Thread(target=read, daemon=True).start()
numbers = iter(range(10**9))


def start(method, params=None):
    number = next(numbers)
    answers[number] = queue.Queue()
    say(id=number, method=method, **({} if params is None else {"params": params}))
    return number


def wait(number):
    message = answers[number].get(timeout=50)
    return message["error"]["code"] if "error" in message else message["result"]


def call(method, params=None):
    return wait(start(method, params))


def same(is_, wanted):
    assert is_ == wanted, f"{is_}, and not {wanted}"


same(call("sum/of", [2, 3]), 5)
same(call("sum/of", {"a": 4, "b": 5}), 9)
same(call("point/move", {"x": 1, "y": 2}), {"x": 2, "y": 1})
same(call("nothing"), None)
many = [start("sum/of", [n, n]) for n in range(200)]
same([wait(number) for number in many], [2 * n for n in range(200)])
same(call("back", [21]), 42)  # it calls this side back

say(method="note", params=["one"])
say(method="note", params=["zw\u00f6lf"])
same(call("notes"), ["one", "zw\u00f6lf"])

same(call("no/such"), -32601)
same(call("sum/of", ["text", 1]), -32602)
same(call("panic"), -32603)
same(call("rename", {"x": 0, "y": 1}), -32803)

slow = start("slow")
threading.Timer(0.02, lambda: say(method="$/cancelRequest", params={"id": slow})).start()
same(wait(slow), -32800)
same(call("cancelled"), True)

count = start("count", [5])
same(wait(count), 5)
same(progress[count], [0, 1, 2, 3, 4])

same(call("done"), None)
print("all is well", flush=True)
stream.shutdown(socket.SHUT_RDWR)
