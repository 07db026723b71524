"""A program that talks through overcom: python3 talk.py NODE NAME ARGUMENTS… (NODE is the overcom program).
Sends a note to NAME, then prints every message until one says bye."""
import itertools, json, subprocess, sys

program, name, *arguments = sys.argv[1:]
node = subprocess.Popen([program, "node", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
numbers = itertools.count(1)

def ask(op, **fields):
    print(json.dumps({"id": next(numbers), "op": op, **fields}), file=node.stdin)

me = json.loads(node.stdout.readline())["hello"]
print("I am", me["user"], file=sys.stderr)
ask("send", to=name, type="note", payload={"text": "hello from Python"})
for line in node.stdout:
    told = json.loads(line)
    if "error" in told:
        sys.exit(f"{told['error']['message']}; {told['error']['hint']}")
    if told.get("notice") == "delivered":
        print("delivered", flush=True)
    if told.get("notice") == "message":
        print(told["name"] or told["from"], told["type"], json.dumps(told["payload"]), flush=True)
        if told["type"] == "bye":
            break
node.stdin.close()  # the node says good-bye and ends
sys.exit(node.wait())
