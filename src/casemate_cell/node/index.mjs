// The managed Node.js runtime of a cell: Lambda's Runtime API, client side.
//
// Started as `node index.mjs` with the function's environment; reads _HANDLER and
// LAMBDA_TASK_ROOT.  CommonJS and ES module handlers; async, promise and callback
// style.  Streamed responses are refused by name.

import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { format } from "node:util";
import { pathToFileURL } from "node:url";

const ROOT = process.env.LAMBDA_TASK_ROOT ?? "/var/task";
const [API_HOST, API_PORT] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const AGENT = new http.Agent({ keepAlive: true, maxSockets: 2 });
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const JSON_LOGS = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";

let requestId = "";
let reportFatal = postInitError;
let whenIdle = null;

class Fault extends Error {
  constructor(type, message, cause) {
    super(message);
    this.name = type;
    if (cause?.stack) this.stack = cause.stack;
  }
}

// --- the Runtime API ---------------------------------------------------------

function call(method, tail, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: API_HOST,
        port: API_PORT,
        method,
        path: `/2018-06-01/runtime/${tail}`,
        agent: AGENT,
        headers:
          body === undefined
            ? headers
            : {
                "Content-Type": "application/json",
                "Content-Length": Buffer.byteLength(body),
                ...headers,
              },
      },
      (response) => {
        const pieces = [];
        response.on("data", (piece) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode,
            headers: response.headers,
            body: Buffer.concat(pieces).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

function documentOf(error) {
  if (error instanceof Error || (error && typeof error === "object" && error.stack)) {
    return {
      errorType: String(error.name ?? "Error"),
      errorMessage: String(error.message ?? ""),
      trace: String(error.stack ?? "").split("\n"),
    };
  }
  const message = typeof error === "string" ? error : format("%s", error);
  return { errorType: typeof error, errorMessage: message, trace: [] };
}

async function postError(tail, error) {
  const document = documentOf(error);
  await call("POST", tail, JSON.stringify(document), {
    "Lambda-Runtime-Function-Error-Type": document.errorType.replace(/[^\w.]/g, "_"),
  });
}

async function postInitError(error) {
  log("ERROR", "Uncaught Exception", error);
  await postError("init/error", error);
}

// --- the log -----------------------------------------------------------------

function log(level, ...values) {
  const now = new Date().toISOString();
  if (JSON_LOGS) {
    const [first] = values;
    const message = values.length === 1 && !(first instanceof Error) ? first : format(...values);
    const entry = { timestamp: now, level, requestId, message };
    let text;
    try {
      text = JSON.stringify(entry);
    } catch {
      text = JSON.stringify({ ...entry, message: format(...values) });
    }
    process.stdout.write(`${text}\n`);
    return;
  }
  // A newline would end the event; the platform turns carriage returns back.
  const line = `${now}\t${requestId}\t${level}\t${format(...values)}`;
  process.stdout.write(`${line.replace(/\r?\n/g, "\r")}\n`);
}

function patchConsole() {
  const levels = {
    log: "INFO",
    info: "INFO",
    debug: "DEBUG",
    warn: "WARN",
    error: "ERROR",
    trace: "TRACE",
    fatal: "FATAL",
  };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...values) => log(level, ...values);
  }
}

// --- the handler -------------------------------------------------------------

function split(name) {
  if (name.includes("..")) {
    throw new Fault("Runtime.MalformedHandlerName", `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(name);
  const folder = name.slice(0, name.length - last.length);
  const match = /^([^.]*)\.(.+)$/.exec(last);
  if (!match) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  return { folder, module: match[1], property: match[2] };
}

async function importModule(folder, module) {
  const base = path.resolve(ROOT, folder, module);
  for (const [suffix, load] of [
    ["", requireOf],
    [".js", (file) => (isModule(file) ? importOf(file) : requireOf(file))],
    [".mjs", importOf],
    [".cjs", requireOf],
  ]) {
    const file = base + suffix;
    if (fs.statSync(file, { throwIfNoEntry: false })?.isFile()) return load(file);
  }
  return requireOf(
    createRequire(path.join(ROOT, "package.json")).resolve(module, {
      paths: [ROOT, path.resolve(ROOT, folder)],
    }),
  );
}

function requireOf(file) {
  return createRequire(file)(file);
}

function importOf(file) {
  return import(pathToFileURL(file).href);
}

function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (fs.existsSync(manifest)) {
      return JSON.parse(fs.readFileSync(manifest, "utf8")).type === "module";
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function loadHandler(name) {
  const { folder, module, property } = split(name);
  let exported;
  try {
    exported = await importModule(folder, module);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Fault("Runtime.UserCodeSyntaxError", String(error), error);
    }
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      throw new Fault("Runtime.ImportModuleError", `Error: ${error.message}`, error);
    }
    throw error;
  }
  const find = (from) => property.split(".").reduce((value, key) => value?.[key], from);
  const handler = find(exported) ?? find(exported?.default);
  if (!handler) throw new Fault("Runtime.HandlerNotFound", `${name} is undefined or not exported`);
  if (typeof handler !== "function") {
    throw new Fault("Runtime.HandlerNotFound", `${name} is not a function`);
  }
  if (handler[STREAMING]) {
    throw new Fault("Runtime.InvalidStreamingOperation", "awslambda.streamifyResponse is not supported here yet; return the whole answer");
  }
  return handler;
}

// --- one invocation ----------------------------------------------------------

function contextOf(headers, settle) {
  const deadline = Number.parseInt(headers["lambda-runtime-deadline-ms"], 10);
  const clientContext = headers["lambda-runtime-client-context"];
  const environment = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: clientContext
      ? JSON.parse(Buffer.from(clientContext, "latin1").toString("utf8"))
      : undefined,
    identity: undefined,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    succeed: (value) => settle({ value, now: true }),
    fail: (error) => settle({ error: error ?? new Error("handled"), failed: true, now: true }),
    done: (error, value) => settle(error ? { error, failed: true } : { value, now: true }),
  };
}

// Gives {value} or {error, failed}.  A callback's answer waits for the event loop
// to empty, unless the context says otherwise; so does a handler that never answers.
function invoke(handler, event, headers) {
  return new Promise((resolve) => {
    let settled = false;
    let context;
    const settle = (ending) => {
      if (settled) return;
      settled = true;
      if (ending.now || ending.failed || !context.callbackWaitsForEmptyEventLoop) {
        whenIdle = null;
        resolve(ending);
      } else {
        whenIdle = () => resolve(ending);
      }
    };
    context = contextOf(headers, settle);
    const callback = (error, value) =>
      settle(error ? { error, failed: true } : { value });
    whenIdle = () => resolve({ value: null });
    try {
      const result = handler(event, context, callback);
      if (typeof result?.then === "function") {
        result.then(
          (value) => settle({ value, now: true }),
          (error) => settle({ error, failed: true }),
        );
      }
    } catch (error) {
      settle({ error, failed: true });
    }
  });
}

async function serveOne(handler) {
  const { headers, body, status } = await call("GET", "invocation/next");
  if (status !== 200) throw new Error(`the Runtime API answered ${status}`);
  requestId = headers["lambda-runtime-aws-request-id"];
  process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
  const tail = `invocation/${requestId}`;
  reportFatal = async (error) => {
    log("ERROR", "Uncaught Exception", error);
    await postError(`${tail}/error`, error);
  };
  const ending = await invoke(handler, JSON.parse(body), headers);
  whenIdle = null;
  if (ending.failed) {
    log("ERROR", "Invoke Error", documentLine(ending.error));
    await postError(`${tail}/error`, ending.error);
    return;
  }
  let answer;
  try {
    answer = JSON.stringify(ending.value === undefined ? null : ending.value) ?? "null";
  } catch (error) {
    await postError(`${tail}/error`, new Fault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`, error));
    return;
  }
  const { status: taken, body: reason } = await call("POST", `${tail}/response`, answer);
  if (taken === 413) log("ERROR", "Invoke Error", reason);
}

function documentLine(error) {
  const { errorType, errorMessage, trace } = documentOf(error);
  return JSON.stringify({ errorType, errorMessage, stack: trace });
}

// --- the process -------------------------------------------------------------

function dieReporting(status) {
  return (error) => {
    reportFatal(error).finally(() => process.exit(status));
  };
}

process.on("uncaughtException", dieReporting(129));
process.on("unhandledRejection", (reason) =>
  dieReporting(128)(
    new Fault("Runtime.UnhandledPromiseRejection", reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason), reason),
  ),
);
// Nothing is left in the loop: a handler that waits for that has its answer now.
process.on("beforeExit", () => {
  const answer = whenIdle;
  whenIdle = null;
  answer?.();
});

globalThis.awslambda = {
  streamifyResponse: () => {
    throw new Fault("Runtime.InvalidStreamingOperation", "awslambda.streamifyResponse is not supported here yet; return the whole answer");
  },
};

patchConsole();
process.chdir(ROOT);

let handler;
try {
  handler = await loadHandler(process.env._HANDLER ?? "");
} catch (error) {
  await postInitError(error);
  process.exit(1);
}
for (;;) await serveOne(handler);
