// First steps with testcontainers, as its documentation shows them. One line for each that worked.
import net from "node:net";
import { GenericContainer, Network, Wait } from "testcontainers";

// The stream that logs() gives keeps no process alive by itself (the library detaches its socket from the loop, as it may for a test runner,
// which lives anyway): a script that has nothing else to do would end, without a word, before the first line comes.
const awake = setInterval(() => {}, 1000);

const redis = await new GenericContainer("redis").withExposedPorts(6379).start();
const answer = await new Promise((resolve, reject) => {
  const socket = net.connect(redis.getMappedPort(6379), redis.getHost(), () => socket.write("PING\r\n"));
  socket.on("data", (data) => resolve(data.toString()) || socket.end());
  socket.on("error", reject);
});
if (answer !== "+PONG\r\n") throw new Error(answer);
console.log("PASSED node: a published port");
const said = await redis.exec(["redis-cli", "set", "key", "value"]);
if (said.exitCode !== 0 || said.output.trim() !== "OK") throw new Error(JSON.stringify(said));
console.log("PASSED node: exec in a server");
await redis.stop();

const network = await new Network().start();
const web = await new GenericContainer("fussybeaver/uhttpd")
  .withCommand(["httpd", "-f", "-h", "/www"]).withExposedPorts(80).withNetwork(network).withNetworkAliases("web")
  .withWaitStrategy(Wait.forHttp("/", 80)).start();
const client = await new GenericContainer("alpine").withNetwork(network)
  .withCommand(["sh", "-c", "wget -qO- http://web/; echo said; sleep 1000"]).withWaitStrategy(Wait.forLogMessage("said")).start();
const logs = await new Promise((resolve, reject) => {
  client.logs().then((stream) => {
    let all = "";
    stream.on("data", (line) => { all += line; if (all.includes("said")) resolve(all); });
    stream.on("error", reject);
    stream.on("end", () => reject(new Error(`the log ended: ${all}`)));
  }, reject);
});
if (!logs.includes("page")) throw new Error(logs);
console.log("PASSED node: a network and what is waited for");
await client.stop();
await web.stop();
await network.stop();
console.log("PASSED node: everything is taken down");
clearInterval(awake);
