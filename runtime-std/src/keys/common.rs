//! What guessing programs try first: 331 of the commonest passwords and words, in lower case, without order.

/// Separated by white space.
pub(super) const COMMON: &str = "
123456 123456789 12345678 password qwerty 12345 1234567 111111 123123 abc123 1234567890 1234 iloveyou admin welcome
monkey login dragon sunshine princess football letmein master hello freedom whatever qazwsx trustno1 starwars batman
superman shadow michael jennifer jordan hunter buster soccer harley ranger thomas robert daniel ashley andrew joshua
matthew george charlie nicole jessica michelle amanda anthony pepper ginger cookie summer winter spring autumn orange
banana apple cheese chocolate flower purple silver golden diamond crystal computer internet secret passw0rd pass test
guest root user default changeme temp access system server database oracle cisco qwertyuiop asdfghjkl zxcvbnm asdfgh
zxcvbn qwerty123 1q2w3e4r 1qaz2wsx q1w2e3r4 1q2w3e zaq12wsx qwert asdf baseball basketball hockey tennis golf chelsea
arsenal liverpool barcelona juventus realmadrid manchester yankees lakers cowboys eagles steelers mustang ferrari
porsche mercedes corvette camaro yamaha honda toyota harleydavidson killer hacker matrix phoenix thunder tigger snoopy
mickey pokemon pikachu naruto minecraft fortnite zelda mario sonic maggie bailey buddy lucky angel baby lovely loveme
iloveu ilovegod jesus heaven god blessed faith london paris berlin newyork texas california america canada australia
india china brazil mexico january february march april june july august september october november december monday
tuesday wednesday thursday friday saturday sunday passwort hallo schatz ichliebedich geheim sommer qwertz fussball
bonjour motdepasse azerty soleil doudou contrasena hola amor teamo estrella senha brasil flamengo parola ciao amore
password1 admin123 welcome1 root123 abcdef abcd1234 a1b2c3 aaaaaa 000000 666666 654321 987654321 112233 121212 131313
696969 777777 888888 999999 correcthorsebatterystaple correct horse battery staple opensesame swordfish blink182
metallica nirvana slipknot eminem alexander william samantha elizabeth victoria christian benjamin jonathan nicholas
patrick richard taylor morgan cameron justin brandon dallas austin denver boston chicago hannah sophie olivia emma
oliver jack harry jacob noah liam peanut butter coffee whiskey vodka tequila cherry strawberry blueberry pumpkin popcorn
cupcake honey sugar sweet candy tiger lion eagle panther falcon wolf bear snake spider scorpion turtle dolphin rabbit
kitty puppy dog cat bird fish fuckyou fuckme asshole bitch pussy sexy biteme bigdick hardcore trustnoone nopassword
mypassword passphrase thisismypassword ihavenopassword password1234 superuser administrator
";
