import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
const pw=/password: "([^"]+)"/.exec(readFileSync("/tmp/dash-10k/clouds.yaml","utf8"))[1];
const base=/auth_url: (\S+)\/identity/.exec(readFileSync("/tmp/dash-10k/clouds.yaml","utf8"))[1];
// usage: node look.mjs out[:dark] path [js actions file]
const b=await chromium.launch({executablePath:"/usr/bin/chromium",args:["--no-sandbox"]});
const dark=process.env.DARK==="1";
const c=await b.newContext({baseURL:base,viewport:{width:+(process.env.W||1280),height:800},colorScheme:dark?"dark":"light",reducedMotion:"reduce"});
c.setDefaultTimeout(8000);
const p=await c.newPage();
p.on("pageerror",e=>console.log("ERR",e.message));p.on("console",m=>["error","warning"].includes(m.type())&&console.log("CON",m.text()));
p.on("response",r=>r.status()>=400&&console.log(r.status(),r.url()));
await p.goto("/dashboard"+process.argv[2]);
await p.getByLabel("User name").fill(process.env.U||"admin");await p.getByLabel("Password").fill(process.env.PW||pw);await p.getByRole("button",{name:"Log in"}).click();
await p.getByRole("navigation",{name:"Pages"}).waitFor();
await p.waitForTimeout(1500);
const shot=async n=>{await p.screenshot({path:`/tmp/dash/${n}.png`})};
if(process.argv[3]){ try{ await (new (Object.getPrototypeOf(async()=>{}).constructor)("p","shot","c",process.argv[3]))(p,shot,c);}catch(e){console.log("FAIL",e.message.slice(0,600));} }
await shot("last"); await b.close();
