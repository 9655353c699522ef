// JupyterLab's status bar says when this machine stops and why, and its menu keeps it for a while.
//
// Written by hand as what a build would make of it: a container of webpack's module federation
// (https://webpack.js.org/concepts/module-federation/), which JupyterLab asks for "./extension".
// The modules of JupyterLab itself come from the scope that it shares with all extensions.
(() => {
  "use strict";

  const NAME = "cloudjhub-idle";
  const LOOK_MS = 30000;
  const HOURS = [1, 2, 4, 8, 12, 24, 48, 72, 168];
  const SOON_SECONDS = 600;

  let shared;

  /** One of JupyterLab's own modules, or null where there is none. */
  async function shareOf(name) {
    const versions = Object.values(shared[name] || {});
    const best = versions.find((version) => version.loaded) || versions[0];
    return best ? (await best.get())() : null;
  }

  /** A moment as people say it: the time, with the day unless that is today. */
  function clock(seconds) {
    const moment = new Date(seconds * 1000);
    const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    if (moment.toDateString() === new Date().toDateString()) {
      return time;
    }
    return `${moment.toLocaleDateString([], { weekday: "short" })} ${time}`;
  }

  function duration(seconds) {
    const minutes = Math.round(seconds / 60);
    if (minutes < 1) {
      return `${Math.round(seconds)} s`;
    }
    if (minutes < 120 && minutes % 60) {
      return `${minutes} min`;
    }
    return `${Math.round(minutes / 6) / 10} h`;
  }

  const SIGNS = {
    kernel: (what) => `the kernel of ${what} is busy`,
    terminal: (what) => `${what} runs in a terminal`,
    ssh: (what) => `${what} is logged in by SSH`,
    cpu: (what) => `its processors are busy (${what} % of one)`,
    gpu: (what) => `its GPU is busy (${what} %)`,
    kept: (what) => `it is kept until ${clock(what)}`,
  };

  /** What happens at the end, as a verb. */
  function verb(status) {
    return status.action === "hibernate" ? "hibernates" : "stops";
  }

  /** The few words of the status bar. */
  function words(status) {
    if (status.state === "kept") {
      return `Kept until ${clock(status.kept_until)}`;
    }
    if (status.state === "working") {
      return "Machine works";
    }
    if (status.state === "idle") {
      return `Machine ${verb(status)} at ${clock(status.stops_at)} (idle)`;
    }
    return status.state === "never" ? "Machine is not stopped" : "";
  }

  /** All there is to say, a sentence in a line. */
  function sentences(status) {
    const lines = [];
    const reasons = status.signs.map((sign) => SIGNS[sign.kind](sign.what));
    const after = status.timeout_seconds ? duration(status.timeout_seconds) : null;
    if (reasons.length) {
      lines.push(`This machine goes on: ${[...new Set(reasons)].join("; ")}.`);
      if (after) {
        lines.push(`It ${verb(status)} ${after} after that ends.`);
      }
    } else if (status.state === "idle") {
      lines.push(`Nothing has worked on this machine since ${clock(status.last_work)}.`);
      lines.push(`It ${verb(status)} ${after} after the last work: at ${clock(status.stops_at)}.`);
      lines.push("An open page is no work; running code is, and so is saving a file.");
    } else if (status.state === "never") {
      lines.push("This machine is not stopped for being idle.");
    }
    if (status.ends_at) {
      lines.push(`It stops at ${clock(status.ends_at)} in any case.`);
    }
    lines.push("Files are kept.");
    return lines;
  }

  class Status {
    constructor(services) {
      this._connection = services.ServerConnection;
      this._settings = services.ServerConnection.makeSettings();
      this._heard = null;
      this.latest = null;
      this.changed = () => {};
    }

    async ask(query = "") {
      await this._fetch(`cloudjhub/idle${query}`, { cache: "no-store" });
    }

    async keep(hours) {
      await this._fetch("cloudjhub/keep", { method: "POST", body: JSON.stringify({ hours }) });
    }

    async _fetch(path, init) {
      const url = this._settings.baseUrl + path;
      const answer = await this._connection.makeRequest(url, init, this._settings);
      if (!answer.ok) {
        throw new Error(`${answer.status} ${answer.statusText}`);
      }
      this.latest = await answer.json();
      this.changed();
    }
  }

  /** What stands in the status bar; a click opens the menu. */
  function makeItem(Widget, status) {
    const item = new Widget({ node: document.createElement("button") });
    const node = item.node;
    node.type = "button";
    node.id = NAME;
    node.style.cssText =
      "background: none; border: none; color: inherit; cursor: pointer; font: inherit; padding: 0 4px";
    status.changed = () => {
      const soon = status.latest.stops_at && status.latest.stops_at - Date.now() / 1000;
      node.textContent = words(status.latest);
      node.title = sentences(status.latest).join("\n");
      node.style.fontWeight = soon && soon < SOON_SECONDS ? "bold" : "normal";
    };
    return item;
  }

  function addCommands(commands, status, apputils) {
    const failed = (error) =>
      apputils.showErrorMessage("The machine could not be kept", error.message);
    commands.addCommand(`${NAME}:keep`, {
      label: (args) =>
        args.hours ? `Keep for ${args.hours} h` : "Keep no longer",
      execute: (args) => status.keep(args.hours || 0).catch(failed),
    });
    commands.addCommand(`${NAME}:why`, {
      label: "When does this machine stop?",
      execute: async () => {
        await status.ask("?ask");
        const body = sentences(status.latest).join(" ");
        return apputils.showDialog({
          title: words(status.latest) || "This machine",
          body,
          buttons: [apputils.Dialog.okButton()],
        });
      },
    });
  }

  function openMenu(Menu, commands, status, node) {
    const menu = new Menu({ commands });
    menu.addItem({ command: `${NAME}:why` });
    const most = status.latest ? status.latest.keep_seconds / 3600 : 0;
    for (const hours of HOURS.filter((hours) => hours <= most)) {
      menu.addItem({ command: `${NAME}:keep`, args: { hours } });
    }
    if (status.latest && status.latest.kept_until) {
      menu.addItem({ command: `${NAME}:keep`, args: { hours: 0 } });
    }
    const place = node.getBoundingClientRect();
    menu.open(place.left, place.top, { forceY: false });
  }

  async function activate(app, statusBar, palette, parts) {
    const status = new Status(parts.services);
    addCommands(app.commands, status, parts.apputils);
    palette.addItem({ command: `${NAME}:why`, category: "Machine" });
    if (statusBar) {
      const item = makeItem(parts.widgets.Widget, status);
      item.node.addEventListener("click", async () => {
        await status.ask("?ask").catch(() => {});
        openMenu(parts.widgets.Menu, app.commands, status, item.node);
      });
      statusBar.registerStatusItem(NAME, { item, align: "right", rank: 5, isActive: () => true });
    }
    const look = () => (document.hidden ? null : status.ask().catch(() => {}));
    setInterval(look, LOOK_MS);
    document.addEventListener("visibilitychange", look);
    await look();
  }

  async function extension() {
    const [services, widgets, apputils, statusbar] = await Promise.all(
      ["@jupyterlab/services", "@lumino/widgets", "@jupyterlab/apputils", "@jupyterlab/statusbar"].map(
        shareOf
      )
    );
    const parts = { services, widgets, apputils };
    const plugin = {
      id: `${NAME}:plugin`,
      description: "Says when this machine stops, and keeps it for a while.",
      autoStart: true,
      requires: [apputils.ICommandPalette],
      // Pages without a status bar have the palette only.
      optional: statusbar ? [statusbar.IStatusBar] : [],
      activate: (app, palette, bar) => activate(app, bar, palette, parts),
    };
    return { __esModule: true, default: plugin };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (scope) => {
      shared = scope;
    },
    get: async (module) => {
      if (module !== "./extension") {
        throw new Error(`${NAME} has no module ${module}.`);
      }
      const made = await extension();
      return () => made;
    },
  };
})();
